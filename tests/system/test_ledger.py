"""The component, when its ledger turns out to be damaged."""

from edge import SAMPLES, Edge
from inspector_fakes import rows
from mosquitto_broker import until


def test_a_damaged_ledger_is_replaced_by_itself(edge: Edge):
    """Damage that is met over an image blocks for a moment; then a new ledger begins, and every image that is still
    there has a verdict in it. The old ledger is set aside, and no kept image is touched."""
    images = sorted(SAMPLES.glob("*.jpg"))[:4]
    edge.start(AfterInspection="leave")
    for image in images[:3]:
        edge.drop(image, image.name)
    before = {each["ledger"] for each in edge.wait_for_results(3)}
    edge.stop()
    ledger = edge.work / "ledger.sqlite"
    kept = sorted((edge.work / "kept").iterdir())
    ((page,),) = rows(ledger, "SELECT rootpage FROM sqlite_master WHERE name = 'attempts'")
    with ledger.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    edge.restart()
    edge.drop(images[3], images[3].name)

    def after() -> set[str]:
        return {each["image"]["name"] for each in edge.results if each["ledger"] not in before}

    until(lambda: after() == {image.name for image in images}, "all four are inspected in a new ledger", 40)
    assert (edge.work / "ledger.sqlite.damaged-1").exists()
    assert set(kept) <= set((edge.work / "kept").iterdir())
    assert "ledger damaged and replaced" in edge.log
    assert [each["event"] for each in edge.statuses].count("unblocked") == 1
