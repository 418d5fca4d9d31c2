# Everything that a component should not do, one at a time.
sleepless() {
    trap '' TERM
    for _ in $(seq 100); do sleep 1; done
}

case "$1" in
stays)      # deaf to SIGTERM, with children and their children
    (sleepless & sleepless) &
    sleepless
    ;;
leaves)     # ends at once, and leaves deaf children behind
    (sleepless & sleepless) &
    ;;
floods)     # 10 MB in one line
    head -c 10000000 /dev/zero | tr '\0' x
    echo
    echo enough
    sleepless
    ;;
fails)
    echo "no reason given" >&2
    exit 7
    ;;
esac
