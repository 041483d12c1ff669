"""Pages in headless Chromium: what a script says on one, and what it complains of."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

needs_browser = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="no chromium on this machine"
)


def in_browser(page: Path, tmp_path: Path, script: str) -> list[str]:
    """What a script on the page puts into ``said``, after the page's own.

    An error of the page or of the script is told in place of it.
    """
    check = f"""<script>
const press = key => document.dispatchEvent(new KeyboardEvent("keydown", {{ key }}));
const said = [];
{script}
document.title = said.join("|");
</script></body>"""
    text = page.read_text(encoding="utf-8").replace("</body>", check)
    copy = page.with_name("check.html")
    copy.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
         "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", copy.as_uri()],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if complaints := re.findall(r"CONSOLE[^\n]*", done.stderr):
        return complaints
    return re.search(r"<title>(.*?)</title>", done.stdout)[1].split("|")
