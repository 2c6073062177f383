"""Take the pictures in docs/images: make a store with something missing, failed and damaged, and look at it in the UI.

``make screenshots`` does it all: it needs a Chromium (the one in ``PATH``, or that of ``CHROMIUM=/path/to/it``), and
installs what drives it. By hand::

    pip install playwright pillow
    python docs/screenshots.py --chromium /path/to/chromium

Nothing is written but a temporary directory and the pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import FloatRect, Page, sync_playwright

HERE = Path(__file__).resolve().parent
#: Shards that `mmfs demo` fills, and those that come after.
FIRST, LATER = 200, 90
FILES_A_SHARD = 10
#: Of the later shards: one whose pack is damaged, and how many are left out of the backfill.
DAMAGED, LEFT_OUT = 24, 3
_BYTES = 300_000
_PATIENCE_MS = 120_000
_MARGIN = 24
_SCENES = (
    "import sys; from mmfs.media.scenes import write_scenes; folder, *numbers = sys.argv[1:]; "
    "images, videos, seed = map(int, numbers); "
    "write_scenes(folder, split='test', images=images, videos=videos, seed=seed)"
)
_REPOSITORIES = "query { repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"


@dataclass(frozen=True)
class Place:
    """A temporary store with its history, and the commands that work on it."""

    root: Path
    commands: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "DAGSTER_HOME": str(self.root / "home"),
            "MMFS_STORE": str(self.root / "store"),
            "MMFS_SHARD_MAX_FILES": str(FILES_A_SHARD),
            **more,
        }

    def run(self, *command: str) -> None:
        """Run one of the project's commands to its end."""
        program = [str(self.commands / command[0]), *command[1:]]
        subprocess.run(program, cwd=self.root, env=self.environment(), check=True)

    def graphql(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = json.load(answer)
        assert "errors" not in said, said["errors"]
        return said["data"]

    @contextmanager
    def ui(self, **environment: str) -> Iterator[None]:
        """The UI, daemon included, while the block lasts."""
        command = [str(self.commands / "mmfs"), "ui", "--port", str(self.port)]
        with (self.root / "ui.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                env=self.environment(**environment),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for(lambda: answers(f"{self.url}/server_info"), "the UI")
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def main() -> None:
    """Make the situations, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    parser.add_argument("--chromium", default=found, required=not found, help="Default: $CHROMIUM, else that in PATH.")
    parser.add_argument("--port", type=int, default=3911)
    parser.add_argument("--out", type=Path, default=HERE / "images")
    parser.add_argument("--commands", type=Path, default=HERE.parent / ".venv" / "bin", help="Where mmfs is installed.")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mmfs-pictures-") as folder, sync_playwright() as playwright:
        place = Place(Path(folder), chosen.commands.absolute(), chosen.port)
        browser = playwright.chromium.launch(executable_path=chosen.chromium, args=["--no-sandbox", "--disable-gpu"])

        def page(width: int, height: int) -> Page:
            return browser.new_page(viewport={"width": width, "height": height})

        finished(place)
        with place.ui():
            lineage(page(2200, 1600), place, chosen.out)
            grown(place)
            backfill(page(1700, 620), place, chosen.out)
            partitions(page(1700, 1100), place, chosen.out)
            assets(page, place, chosen.out)
            failing_check(page(1700, 985), place, chosen.out)
        with place.ui(MMFS_WATCH=str(place.root / "watched"), MMFS_WATCH_SETTLE_S="0", MMFS_WATCH_EVERY_S="10"):
            automation(page(1700, 1000), place, chosen.out)


def finished(place: Place) -> None:
    """A store that `mmfs demo` made."""
    (place.root / "home").mkdir(exist_ok=True)
    place.run("mmfs", "demo", "--pictures", str(FIRST - 8), "--clips", "8")


def grown(place: Place) -> None:
    """More files, some of them broken; their shards are decoded, and the pack of one is damaged."""
    later = place.root / "later"
    place.run("python", "-c", _SCENES, str(later), str(LATER - 4), "4", "1")
    for number in range(2):
        (later / f"broken-{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    place.run("mmfs", "ingest", str(later))
    place.run("mmfs", "materialize", "raw_media", "captions", "frames")
    damage(place, "frames", f"{DAMAGED:06d}")


def damage(place: Place, table: str, shard: str) -> None:
    """Overwrite some bytes of a pack, as a bad disk might."""
    [pack, *_] = sorted((place.root / "store" / "packs" / table / shard).glob("*.tar"))
    with pack.open("r+b") as file:
        file.seek(pack.stat().st_size // 2)
        file.write(bytes(60_000 if table == "depth_maps" else 4096))


def lineage(page: Page, place: Place, out: Path) -> None:
    """From the listed files to a training run: what stands above and below the frames."""
    show(page, f"{place.url}/assets/frames?view=lineage&lineageScope=neighbors&lineageDepth=9", "demo_training_run")
    page.wait_for_timeout(15_000)  # statuses arrive after the graph
    nodes = page.locator("svg foreignObject")
    boxes = nodes.evaluate_all("all => all.map(one => one.getBoundingClientRect().toJSON())")
    left, top = (min(box[side] for box in boxes) - _MARGIN for side in ("left", "top"))
    right, bottom = (max(box[side] for box in boxes) + _MARGIN for side in ("right", "bottom"))
    save(page, out / "lineage.png", clip={"x": left, "y": top, "width": right - left, "height": bottom - top})


def backfill(page: Page, place: Place, out: Path) -> None:
    """Of three features over most of the later shards; one of them fails."""
    query = 'query { assetNodeOrError(assetKey: {path: ["frames"]}) { ... on AssetNode { partitionKeys } } }'
    shards = place.graphql(query)["assetNodeOrError"]["partitionKeys"]
    launched = place.graphql(
        """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
        ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
        params={
            "assetSelection": [{"path": [asset]} for asset in ("clip_embeddings", "depth_maps", "frame_quality")],
            "partitionNames": [shard for shard in shards if int(shard) >= FIRST // FILES_A_SHARD][:-LEFT_OUT],
            "title": "Features of new media",
        },
    )["launchPartitionBackfill"]
    query = "query ($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"

    def is_over() -> bool:
        state: str = place.graphql(query, id=launched["backfillId"])["partitionBackfillOrError"]["status"]
        return state in ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED")

    wait_for(is_over, "the backfill", seconds=600)
    show(page, f"{place.url}/runs/b/{launched['backfillId']}", "100% completed")
    save(page, out / "backfill.png")


def partitions(page: Page, place: Place, out: Path) -> None:
    """The state of every shard of every asset."""
    [repository] = place.graphql(_REPOSITORIES)["repositoriesOrError"]["nodes"]
    location = repository["location"]["name"]
    show(page, f"{place.url}/locations/{location}/jobs/__ASSET_JOB/partitions", "Missing partitions")
    page.get_by_role("button", name="Show per-asset status").click()
    page.get_by_text("frame_quality").first.wait_for(timeout=_PATIENCE_MS)
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(1, 1)  # so that the button does not look pressed
    page.wait_for_timeout(4000)
    below = page.get_by_text("Run duration").bounding_box()
    assert below is not None
    save(page, out / "partitions.png", clip={"x": 0, "y": 0, "width": 1700, "height": below["y"] - _MARGIN})


def assets(page: Callable[[int, int], Page], place: Place, out: Path) -> None:
    """The pages of an asset: what it is, plots over shards, one shard, its pictures."""
    view = f"{place.url}/assets/frame_quality?view=overview"
    save(show(page(1700, 1500), view, "A row", "Part of the key.", "rows_per_s"), out / "asset.png")
    plots = show(page(1700, 1308), view, "A row")  # four whole rows of plots
    plots.get_by_text("Plots", exact=True).first.click()
    plots.get_by_text("device_busy_share").first.evaluate(
        "title => {title.style.scrollMarginTop = '16px'; title.scrollIntoView({block: 'start'})}"
    )
    plots.wait_for_timeout(4000)
    save(plots, out / "plots.png")
    view = f"{place.url}/assets/clip_embeddings?view=partitions&partition=000003"
    save(show(page(1700, 1300), view, "vector_spread"), out / "feature-run.png")
    for asset in ("frames", "depth_maps"):
        sheet = show(page(1700, 1000), f"{place.url}/assets/{asset}?view=partitions&partition=000003", "Show Markdown")
        sheet.get_by_text("Show Markdown").first.click()
        sheet.mouse.move(1, 1)  # so that no button looks pressed
        sheet.wait_for_timeout(2000)
        save(sheet, out / f"{asset}-contact-sheet.png")


def failing_check(page: Page, place: Place, out: Path) -> None:
    """The check that finds damaged packs of depth maps."""
    for shard in ("000007", "000011"):
        damage(place, "depth_maps", shard)
    key, name = {"path": ["depth_maps"]}, "depth_is_finite"
    [repository] = place.graphql(_REPOSITORIES)["repositoriesOrError"]["nodes"]
    launched = place.graphql(
        """mutation ($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
        __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }""",
        params={
            "mode": "default",
            "selector": {
                "repositoryName": repository["name"],
                "repositoryLocationName": repository["location"]["name"],
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [],
                "assetCheckSelection": [{"assetKey": key, "name": name}],
            },
        },
    )["launchPipelineExecution"]
    query = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
    run_id = launched["run"]["runId"]
    wait_for(lambda: place.graphql(query, id=run_id)["runOrError"]["status"] in ("SUCCESS", "FAILURE"), "the check")
    show(page, f"{place.url}/assets/depth_maps?view=checks&checkDetail={name}", "shards fail", "When it fails")
    save(page, out / "failing-check.png")


def automation(page: Page, place: Place, out: Path) -> None:
    """New files in a watched folder are listed by one sensor, and another one asks for what follows."""
    place.run("python", "-c", _SCENES, str(place.root / "watched"), "20", "0", "2")
    [repository] = place.graphql(_REPOSITORIES)["repositoriesOrError"]["nodes"]
    query = """query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) {
    ... on Sensor { sensorState { ticks(limit: 20) { requestedAssetMaterializationCount } } } } }"""
    location = repository["location"]["name"]
    selector = {"repositoryName": repository["name"], "repositoryLocationName": location, "sensorName": "automation"}

    def has_asked() -> bool:
        ticks = place.graphql(query, selector=selector)["sensorOrError"]["sensorState"]["ticks"]
        return len(ticks) > 3 and any(tick["requestedAssetMaterializationCount"] for tick in ticks)

    wait_for(has_asked, "a tick that asks for something", seconds=600)
    show(
        page,
        f"{place.url}/locations/{location}/sensors/automation",
        "Materializes shards",
        "materializations requested",
    )
    page.get_by_text("Evaluating").first.wait_for(state="hidden", timeout=_PATIENCE_MS)
    save(page, out / "automation.png")


def show(page: Page, url: str, *texts: str) -> Page:
    """Open an address and wait until these texts are there."""
    page.goto(url, wait_until="domcontentloaded", timeout=_PATIENCE_MS)
    for text in texts:
        page.get_by_text(text).first.wait_for(timeout=_PATIENCE_MS)
    page.wait_for_load_state("networkidle", timeout=_PATIENCE_MS)
    page.wait_for_timeout(4000)  # icons and bars come after the texts
    return page


def save(page: Page, path: Path, *, clip: FloatRect | None = None) -> None:
    """Write a picture of at most 300 KB, of as many colours as go into it."""
    picture = Image.open(BytesIO(page.screenshot(clip=clip))).convert("RGB")
    page.close()
    picture.save(path, optimize=True)
    for colours in (256, 128, 64, 32):
        if path.stat().st_size <= _BYTES:
            break
        # The one red dot among green ones must stay red: colours by how far apart they are, not by how many have them.
        picture.quantize(colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size // 1000} KB", flush=True)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def wait_for(what: Callable[[], bool], name: str, *, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} is not ready after {seconds:.0f} s")
        time.sleep(1)


if __name__ == "__main__":
    main()
