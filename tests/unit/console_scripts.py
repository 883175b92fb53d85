"""Run scripts of browsers and of CloudFront without a browser, in the Node.js that Playwright has."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from playwright._impl._driver import compute_driver_executable

CONSOLE = Path(__file__).parents[2] / "console"
# The parts of a browser that the console's modules need. Tests set `answer`, which handles calls of other servers.
BROWSER = f"""
import {{ readFileSync }} from "node:fs";
const storage = (kept = new Map()) => ({{
  getItem: (name) => kept.get(name) ?? null,
  setItem: (name, value) => kept.set(name, value),
  removeItem: (name) => kept.delete(name),
}});
const went = [];
let answer;
const read = (name) => readFileSync(name.href ? name : "{CONSOLE}/" + name, "utf-8");
const files = {{ "config.json": JSON.stringify({{ sign_in: {{ url: "https://pool", client: "client1" }} }}) }};
const page = {{
  sessionStorage: storage(), localStorage: storage(), navigator: {{ languages: ["en"] }},
  document: {{ documentElement: {{}} }},
  location: {{ origin: "https://console", hash: "", search: "", assign: (address) => went.push(address) }},
  fetch: async (name, options) => options ? answer(name, options) : new Response(files[name] ?? read(name)),
}};
for (const [name, value] of Object.entries(page)) Object.defineProperty(globalThis, name, {{ value }});
const script = (name) => import("file://{CONSOLE}/" + name);
"""


def run_script(body: str, before: str = BROWSER) -> Any:
    """Return the value that the body of an asynchronous JavaScript function returns, through JSON."""
    code = f"{before}\nconst run = async () => {{ {body} }};\nconsole.log(JSON.stringify(await run()));"
    node, _ = compute_driver_executable()
    command = [node, "--no-warnings", "--input-type=module", "--eval", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
