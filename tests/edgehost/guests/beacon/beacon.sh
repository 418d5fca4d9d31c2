#!/bin/sh
# Blinks until it is told to stop.
trap 'echo "$1 dark"; echo dark > state; exit 0' TERM
echo "$1 $LIGHT"
echo lit > state
while :; do sleep 0.05; done
