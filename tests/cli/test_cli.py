"""The command line: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.models import CommandInfo

from mmfs.cli import plugins
from mmfs.search import build_index
from mmfs.store import Store
from tests.cli.conftest import Run
from tests.conftest import add_frames, add_media, media_id
from tests.search.world import media, write_shard


@pytest.fixture
def url(store: Store) -> str:
    add_media(store, "000000", range(3))
    add_frames(store, "000000", range(3), per_media=2)
    return store.url


def test_tables_tells_rows_and_logical_columns(run: Run, url: str) -> None:
    code, out, _ = run("tables", "--store", url, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["frames"]["rows"] == 6
    assert "image" in found["frames"]["columns"]
    assert "pack" not in found["frames"]["columns"]


def test_sql_prints_the_answer(run: Run, url: str) -> None:
    code, out, _ = run("sql", "SELECT count(*) AS media FROM raw_media", "--store", url, "--json")
    assert (code, json.loads(out)) == (0, [{"media": 3}])


def test_a_store_that_is_not_there_is_said_with_the_mend(run: Run, tmp_path: Path) -> None:
    code, _, err = run("tables", "--store", str(tmp_path / "none"))
    assert code == 1
    assert "no store" in err
    assert "mend: " in err
    assert "Traceback" not in err


def test_an_unknown_setting_ends_with_the_code_of_usage(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_STROE", "x")
    code, _, err = run("tables")
    assert code == 2
    assert "MMFS_STROE" in err
    assert "did you mean MMFS_STORE" in err


def test_wrong_usage_ends_with_code_2(run: Run) -> None:
    assert run("tables", "--colour")[0] == 2
    assert run("search")[0] == 2
    assert run("bench", "nothing")[0] == 2


def test_a_wrong_query_and_a_wrong_condition_name_what_is_wrong(run: Run, url: str) -> None:
    code, _, err = run("sql", "DROP TABLE frames", "--store", url)
    assert code == 1
    assert "SELECT" in err
    code, _, err = run("pin", "p", "-c", "frames.image", "--where", "hight > 3", "--store", url)
    assert code == 1
    assert "hight" in err


def test_search_without_an_index_says_what_to_materialize(run: Run, url: str) -> None:
    code, _, err = run("search", "a cat", "--store", url)
    assert code == 1
    assert "qdrant_index" in err


def test_show_prints_every_row_about_a_media(run: Run, url: str) -> None:
    code, out, _ = run("show", media_id(1), "--store", url, "--json")
    found = json.loads(out)
    assert code == 0
    assert len(found["raw_media"]) == 1
    assert len(found["frames"]) == 2
    assert run("show", media_id(77), "--store", url)[0] == 1


def test_pins_are_made_listed_and_removed(run: Run, url: str) -> None:
    assert run("pin", "p", "-c", "frames.time_s", "--store", url)[0] == 0
    _, out, _ = run("pins", "--store", url, "--json")
    assert [pin["name"] for pin in json.loads(out)] == ["p"]
    assert run("unpin", "p", "--store", url)[0] == 0
    assert run("unpin", "p", "--store", url)[0] == 1


def test_verify_ends_with_1_when_a_pack_is_gone(run: Run, url: str, store: Store) -> None:
    assert run("verify", "--store", url)[0] == 0
    for pack in list(store.objects.list("packs")):
        store.objects.delete(pack.path)
    code, out, _ = run("verify", "--store", url)
    assert code == 1
    assert "packs/frames" in out


def test_verify_compares_the_points_of_the_index(run: Run, store: Store) -> None:
    write_shard(store, "000000", [media(0, "red", frames=3)])
    build_index(store, "colour_embeddings", ["000000"])
    assert run("verify", "--store", store.url)[0] == 0
    info = store.tables.commit_info("colour_embeddings", "000000")
    store.tables.update("colour_embeddings", "000000", lambda rows: rows.slice(1), info=info)
    code, out, _ = run("verify", "--store", store.url)
    assert code == 1
    assert "1 points in the index of colour_embeddings are of rows that are gone" in " ".join(out.split())


def test_verify_prints_json_and_nothing_else_though_it_drops_rows(run: Run, url: str, store: Store) -> None:
    for pack in list(store.objects.list("packs")):
        store.objects.delete(pack.path)
    code, out, err = run("verify", "--drop-damaged", "--store", url, "--json")
    assert (code, json.loads(out)["problems"]) == (0, [])
    assert "frames 000000: 6 rows dropped" in err


def test_what_a_terminal_would_obey_is_not_printed(run: Run, store: Store) -> None:
    add_media(store, "000000", range(1), licence="\x1b[2Jgone [bold]x[/]")
    code, out, _ = run("sql", "SELECT licence FROM raw_media", "--store", store.url)
    assert code == 0
    assert "\x1b" not in out
    assert "[bold]x[/]" in out


def test_without_dagster_its_commands_say_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_plugins", list)
    app = plugins.typer.Typer()
    plugins.add_plugin_commands(app)
    commands: dict[str | None, CommandInfo] = {command.name: command for command in app.registered_commands}
    with pytest.raises(plugins.MissingExtraError, match=r"mmfs\[orchestrate\]"):
        commands["demo"].callback()  # type: ignore[misc]


def test_a_random_sample_is_printed_and_nothing_is_said_plainly(run: Run, url: str) -> None:
    code, out, _ = run("sample", "2", "--seed", "1", "--save", "some", "--store", url, "--json")
    assert code == 0
    found = json.loads(out)
    assert (len(found["hits"]), found["subset"]["samples"], found["gallery"]) == (2, 2, None)
    assert json.loads(run("sql", "SELECT count(*) AS n FROM subsets", "--store", url, "--json")[1]) == [{"n": 2}]
    code, out, _ = run("sample", "2", "--where", "width < 0", "--store", url)
    assert (code, "nothing matches: no row meets the condition" in out) == (0, True)


def test_neighbours_and_facets_without_an_index_say_what_to_materialize(run: Run, url: str) -> None:
    for arguments in (("neighbours", f"{media_id(0)}:0"), ("facets", "kind")):
        code, _, err = run(*arguments, "--store", url)
        assert (code, "qdrant_index" in err) == (1, True)


def test_captions_are_printed_as_they_are_and_obeyed_by_no_terminal(run: Run, store: Store, url: str) -> None:
    hostile = "[red]not red[/red] [click](http://evil) \x1b[2J\x1b]8;;http://evil\x07 **bold** <script>"
    row = {"media_id": media_id(1), "caption_index": 0, "text": hostile, "source": "list", "fingerprint": "c"}
    store.tables.update("captions", "000000", lambda _: pa.Table.from_pylist([row]))
    floor = ("search", "bold", "--not", "zebra", "--min-score", "0.01", "--space", "caption_words")
    for arguments in (("sample", "9"), ("search", "bold", "--space", "captions"), floor):
        code, out, _ = run(*arguments, "--store", url)
        assert code == 0
        shown = "".join(out.split())
        assert "[red]notred[/red][click](http://evil)" in shown
        assert "**bold**<script>" in shown
        assert not {"\x1b", "\x07"} & set(out)
    code, out, _ = run("search", "bold", "--not", "script", "--space", "caption_words", "--store", url)
    assert (code, "nothing matches: no caption answers" in out) == (0, True)
