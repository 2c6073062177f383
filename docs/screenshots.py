"""Take the pictures in docs/images of the Dagster UI, after `make demo`.

Needs two things that mmfs itself does not: ``pip install playwright`` and a Chromium. Starts the UI by itself::

    python docs/screenshots.py --chromium /usr/bin/chromium
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
GROUPS = ("media", "features", "search", "curation", "training")


def main() -> None:
    """Start the UI, take the pictures, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--port", type=int, default=3911)
    parser.add_argument("--out", type=Path, default=HERE / "images")
    chosen = parser.parse_args()
    url = f"http://127.0.0.1:{chosen.port}"
    command = [Path(sys.executable).with_name("mmfs"), "ui", "--port", str(chosen.port)]
    with subprocess.Popen(command, cwd=HERE.parent, start_new_session=True, stdout=subprocess.DEVNULL) as ui:
        try:
            _wait(url)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=chosen.chromium, args=["--no-sandbox", "--disable-gpu"]
                )
                _lineage(browser.new_page(viewport={"width": 2000, "height": 1700}), url, chosen.out)
                _assets(browser.new_page(viewport={"width": 2000, "height": 1500}), url, chosen.out)
        finally:
            os.killpg(ui.pid, signal.SIGTERM)


def _lineage(page: Page, url: str, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    opened = quote(",".join(f"global@global:{group}" for group in GROUPS))
    page.goto(f"{url}/asset-groups?expanded={opened}", wait_until="networkidle")
    page.wait_for_timeout(2000)
    for _ in range(6):  # until all groups are in sight
        page.locator('[aria-label="zoom_out"]').click()
    page.wait_for_timeout(8000)  # statuses arrive after the graph
    page.screenshot(path=out / "lineage.png")


def _assets(page: Page, url: str, out: Path) -> None:
    page.goto(f"{url}/assets/clip_embeddings?view=partitions&partition=000000", wait_until="networkidle")
    page.wait_for_timeout(4000)
    page.screenshot(path=out / "feature-run.png")
    for asset in ("frames", "depth_maps"):
        page.goto(f"{url}/assets/{asset}?view=partitions&partition=000000", wait_until="networkidle")
        page.get_by_text("Show Markdown").first.click(timeout=60_000)
        page.wait_for_timeout(2000)
        page.screenshot(path=out / f"{asset}-contact-sheet.png")


def _wait(url: str, *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


if __name__ == "__main__":
    main()
