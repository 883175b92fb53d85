"""Documents in the console: uploads, statuses, deletions, rights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from benchmarks.pdfs import pdf
from docwell.adapters.dynamodb.principals import Grant
from tests.console.conftest import BOILER, Console, ask, write_pdf

pytestmark = pytest.mark.e2e


def documents(console: Console, folder: str = "") -> Page:
    page = console.open(f"key={console.stack.api_key}&view=/documents/{folder}")
    page.locator(".drop input[list]").wait_for()
    return page


def upload(page: Page, collection: str, *paths: Path) -> None:
    page.fill(".drop input[list]", collection)
    page.set_input_files("#files", paths)


def test_an_upload_is_followed_to_its_end_and_answers(console: Console, tmp_path: Path) -> None:
    page = documents(console)
    binary = tmp_path / "notes.pdf"
    binary.write_bytes(b"\x00\x01\xfe\xff" * 99)
    upload(page, "garden", write_pdf(tmp_path, "roses.pdf", "Roses are cut back in late February."), binary)
    row = page.locator('tr[data-document="garden/roses.pdf"]')
    expect(row).to_have_attribute("data-status", "INDEXED")
    expect(page.locator('tr[data-document="garden/notes.pdf"]')).to_contain_text(
        "docwell does not read this kind of file"
    )
    row.get_by_role("button", name="Ask", exact=True).click()
    console.host.say("Roses are cut back in late February [1].")
    expect(page.locator("li.chip")).to_contain_text("garden/roses.pdf")
    ask(page, "When are roses cut back?")
    expect(page.locator(".citations")).to_contain_text("roses.pdf")


def test_the_source_of_a_document_without_pages_is_its_place_and_can_be_saved(
    console: Console, tmp_path: Path
) -> None:
    page = documents(console)
    notes = tmp_path / "tools.md"
    notes.write_text("# Shed\n\n## Tools\n\nThe scythe hangs behind the door of the shed.\n")
    upload(page, "shed", notes)
    row = page.locator('tr[data-document="shed/tools.md"]')
    expect(row).to_have_attribute("data-status", "INDEXED")
    row.get_by_role("button", name="Ask", exact=True).click()
    console.host.say("The scythe hangs behind the door of the shed [1].")
    ask(page, "Where does the scythe hang?")
    place = "Shed > Tools > paragraph 3"
    expect(page.locator(".citations")).to_contain_text(place)
    page.locator(".citations button").hover()
    expect(page.locator(".preview mark")).to_have_text("The scythe hangs behind the door of the shed")
    page.locator(".answer .marker").first.click()
    page.locator(".source[data-state=unpaged]").wait_for()
    expect(page.locator("#source-title")).to_contain_text(place)
    text = page.get_by_role("group", name="Text of the page")
    expect(text.locator("mark")).to_have_text("The scythe hangs behind the door of the shed")
    expect(text).to_contain_text("Tools")
    unmarked = "This text is not in the document"
    expect(page.locator(".source")).not_to_contain_text(unmarked)
    with page.expect_download() as download:
        page.get_by_role("link", name="Save it").click()
    assert download.value.suggested_filename == "tools.md"
    assert Path(download.value.path()).read_text() == notes.read_text()
    address = page.get_by_role("link", name="Link to this page").get_attribute("href") or ""
    page.evaluate("address => { location.hash = address }", address.replace("scythe", "sickle"))
    expect(page.locator(".source")).to_contain_text(unmarked)


def test_a_replaced_document_is_followed_to_its_new_version(console: Console, tmp_path: Path) -> None:
    page = documents(console)
    row = page.locator('tr[data-document="shed/tools.pdf"]')
    for pages in (["A saw."], ["A saw.", "A spade."]):
        upload(page, "shed", write_pdf(tmp_path, "tools.pdf", *pages))
        expect(row.locator(".pages-count")).to_have_text(str(len(pages)))
        expect(row).to_have_attribute("data-status", "INDEXED")


def move(page: Page, name: str, count: str, folder: str) -> None:
    """Select a row and move its documents. The question stays for a folder without a name."""
    page.get_by_label(f"Select {name}", exact=True).check()
    page.get_by_role("button", name=f"Move {count}").click()
    for into in (" /", folder):
        page.get_by_role("dialog").get_by_label("Into the folder").fill(into)
        page.get_by_role("dialog").get_by_role("button", name="Move").click()


def test_selected_documents_are_moved_and_deleted_after_a_question(console: Console, tmp_path: Path) -> None:
    s3, key, owner = console.stack.client("s3"), "cellar/wine/1999.pdf", {"owner": "Ada"}
    stored = {"Bucket": console.stack.bucket, "Key": key}
    s3.put_object(**stored, Body=pdf(["Wine."]), Metadata=owner, Tagging="dept=cellar")
    page = documents(console)
    upload(page, "cellar/wine", write_pdf(tmp_path, "2001.pdf", "Wine."))
    indexed = page.locator('tr[data-document][data-status="INDEXED"]')
    expect(indexed).to_have_count(2)
    for before, folder in (("cellar", "loft"), ("loft", "cellar")):  # and back to the former place
        page.locator("nav.crumbs").get_by_role("link", name=before, exact=True).click()
        move(page, f"{before}/wine/", "2 documents", folder)
        expect(page.locator("main")).to_contain_text("This folder has no documents.")
        page.evaluate("folder => { location.hash = `#/documents/${folder}/wine/` }", folder)
        expect(indexed).to_have_count(2)
    assert owner.items() <= s3.head_object(**stored)["Metadata"].items()  # of a new version
    assert s3.get_object_tagging(**stored)["TagSet"] == [{"Key": "dept", "Value": "cellar"}]
    page.locator("nav.crumbs").get_by_role("link", name="cellar", exact=True).click()
    folder_row = page.get_by_label("Select cellar/wine/", exact=True)
    folder_row.wait_for()
    place = page.locator("thead").bounding_box()
    folder_row.check()
    assert page.locator("thead").bounding_box() == place  # nothing jumps
    for choice in ("Keep", "Delete"):
        page.get_by_role("button", name="Delete 2 documents").click()
        page.get_by_role("dialog").get_by_role("button", name=choice).click()
    expect(page.locator("main")).to_contain_text("This folder has no documents.")
    assert (console.doors.document(key) or {})["status"] == "DELETED"


def test_a_move_whose_file_is_not_at_the_new_place_deletes_nothing(console: Console, tmp_path: Path) -> None:
    page = documents(console, "shelf/")
    names = ("replaced.pdf", "refused.pdf")
    upload(page, "shelf", *(write_pdf(tmp_path, name, "The old town.") for name in names))
    indexed = page.locator('tr[data-document][data-status="INDEXED"]')
    expect(indexed).to_have_count(2)
    held: list[Route] = []
    page.route("**/desk*link=true", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks handlers
    move(page, "shelf/replaced.pdf", "1 document", "desk")
    while not held:
        page.wait_for_timeout(50)
    page.route("**/v1/uploads", lambda route: route.fulfill(status=403, json={}))
    move(page, "shelf/refused.pdf", "1 document", "desk")
    expect(page.locator(".uploads .warn")).to_be_visible()
    for name in names:
        console.doors.indexed(f"desk/{name}", console.doors.put(f"desk/{name}", pdf(["The new town."])), 60)
    held[0].fallback()
    expect(page.locator(".failure")).to_contain_text("desk/replaced.pdf changed during the move")
    puts: Any = {"refused.pdf": {"Metadata": {"docwell-sync": "a:b"}}, "tagged.pdf": {"Tagging": "dept=shelf"}}
    for name, values in puts.items():
        stored = {"Bucket": console.stack.bucket, "Key": f"shelf/{name}", **values}
        put = console.stack.client("s3").put_object(**stored, Body=pdf(["The old town."]))
        console.doors.indexed(f"shelf/{name}", put["VersionId"], 60)
    page.get_by_role("button", name="Reload").click()
    page.get_by_label("Select shelf/tagged.pdf", exact=True).wait_for()  # the former list had no such row
    page.unroute("**/v1/uploads")
    lost = '"attributes_of":"shelf/tagged.pdf"', '"attributes_of":null'
    page.route(
        "**/v1/uploads", lambda route: route.continue_(post_data=str(route.request.post_data).replace(*lost))
    )
    for name, folder, words in (
        ("replaced.pdf", "desk", "desk/replaced.pdf exists already."),
        ("refused.pdf", "attic", "Move the file in that folder"),
        ("tagged.pdf", "attic", "shelf/tagged.pdf changed during the move"),
    ):
        move(page, f"shelf/{name}", "1 document", folder)
        expect(page.locator(".failure")).to_contain_text(words)
        assert (console.doors.document(f"shelf/{name}") or {})["status"] == "INDEXED"


def test_documents_are_found_by_each_text_of_their_row_in_the_language_of_the_page(console: Console) -> None:
    # One of two documents is rejected; the accents in its key are separate characters.
    row = {"document": "bewerbungen/re\u0301sume\u0301.pdf", "collection": "bewerbungen", "title": None}
    row |= {"status": "REJECTED", "reason": "encrypted", "created": "2026-03-01"}
    page = console.open("ask", locale="de-DE")
    page.route("**/v1/documents?*", lambda route: route.fulfill(json={"documents": [row, {"document": "b.pdf"}]}))
    page.fill("#key", console.stack.api_key)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Dokumente", exact=True).click()
    for words in ("résumé", "BEWERBUNGEN/R", "abgelehnt", "rejected", "Passwort"):
        page.fill("input[type=search]", "")
        expect(page.locator("tbody tr")).to_have_count(2)
        page.fill("input[type=search]", words)
        expect(page.locator("tbody tr")).to_have_count(1)
    page.locator(".name").first.click()
    expect(page.locator("main .facts")).to_contain_text("01.03.2026")


def test_a_key_without_a_right_to_write_can_neither_upload_nor_delete(console: Console) -> None:
    key = console.key_of("reader", lambda id_: Grant(id_, frozenset({"house"})))
    page = console.open(f"key={key}&view=/documents/house")
    expect(page.locator("main")).to_contain_text("may read documents and not change them")
    expect(page.locator(f'tr[data-document="{BOILER}"]')).to_be_visible()
    assert page.get_by_role("button", name="Delete").count() == 0
    gateway, headers = console.stack.gateway, {"x-api-key": key}
    form = {"document": "house/a.pdf", "size": 1}
    assert page.request.post(f"{gateway}/v1/uploads", headers=headers, data=form).status == 403
    assert page.request.delete(f"{gateway}/v1/documents/{BOILER}", headers=headers).status == 403


def test_a_wrong_key_leads_to_the_form_for_one(console: Console) -> None:
    page = console.open("key=wrong")
    expect(page.locator(".login")).to_contain_text("send a key of docwell principals add")
    page.fill("#key", console.stack.api_key)
    page.get_by_role("button", name="Open").click()
    page.locator("#question").wait_for()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("button", name="Leave").click()
    page.locator("#key").wait_for()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_file_that_is_not_uploaded_stays_in_the_list_with_its_reason_and_can_be_retried(
    console: Console, tmp_path: Path
) -> None:
    page = documents(console, "house/")
    page.locator(f'tr[data-document="{BOILER}"]').wait_for()
    held: list[Route] = []
    page.route("**/v1/uploads", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks handlers
    empty, roof = tmp_path / "empty.pdf", write_pdf(tmp_path, "roof.pdf", "The roof has forty tiles.")
    empty.touch()
    upload(page, "house", empty, roof, write_pdf(tmp_path, "boiler.pdf", "The boiler is blue."))
    closes = "!dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    page.evaluate(f"checks.until(() => {closes})")  # the browser asks before it closes the tab
    page.get_by_role("link", name="Ask", exact=True).click()
    while len(held) < 2:  # each worker asks for the form of a file
        page.wait_for_timeout(50)
    for route in held:
        route.abort()
    page.go_back()
    for name in ("house/roof.pdf", BOILER):
        expect(page.locator(f'tr[data-document="{name}"]')).to_contain_text("Not uploaded: The server does not")
    expect(page.locator('tr[data-document="house/empty.pdf"]')).to_contain_text("Not uploaded: the file is empty.")
    page.evaluate(f"checks.until(() => !({closes}))")
    page.unroute("**/v1/uploads")
    page.get_by_role("button", name="Try 2 files again").click()
    expect(page.locator('tr[data-document="house/roof.pdf"]')).to_have_attribute("data-status", "INDEXED")


def test_files_do_not_wait_for_a_slow_one_that_was_added_before(console: Console, tmp_path: Path) -> None:
    page = documents(console, "house/")
    held: list[Route] = []
    page.route("**/v1/uploads", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks handlers
    upload(page, "house", write_pdf(tmp_path, "slow.pdf", "A snail."))
    expect(page.locator('tr[data-document="house/slow.pdf"]')).to_have_attribute("data-status", "BUSY")
    page.unroute("**/v1/uploads")
    for name in ("second.pdf", "third.pdf"):
        upload(page, "house", write_pdf(tmp_path, name, "A hare."))
        expect(page.locator(f'tr[data-document="house/{name}"]')).to_have_attribute("data-status", "INDEXED")


def test_an_upload_that_comes_too_often_waits_and_goes_on(console: Console, tmp_path: Path) -> None:
    page = documents(console)
    late = {"retry-after": "2"}
    page.route("**/v1/uploads", lambda route: route.fulfill(status=429, headers=late, json={}), times=2)
    upload(page, "house", write_pdf(tmp_path, "cellar.pdf", "The cellar has two rooms."))
    expect(page.locator(".uploads")).to_contain_text("The server asks for a pause. Uploads go on in")
    expect(page.locator('tr[data-document="house/cellar.pdf"]')).to_have_attribute("data-status", "INDEXED")


def test_the_text_of_a_scan_has_a_button_or_a_command(console: Console, tmp_path: Path) -> None:
    page = documents(console)
    upload(page, "scans", write_pdf(tmp_path, "scan.pdf", ""))
    row = page.locator('tr[data-document="scans/scan.pdf"]')
    row.get_by_text("Recognise text").click()
    expect(row.locator("code")).to_have_text("docwell ocr on")
    page.route("**/v1/usage", lambda route: route.fulfill(json=route.fetch().json() | {"ocr": True}))
    page.reload()
    row.get_by_role("button", name="Recognise text: scans/scan.pdf").click()
    expect(row).to_contain_text("Waiting to be read")
    page.unroute_all(behavior="ignoreErrors")
