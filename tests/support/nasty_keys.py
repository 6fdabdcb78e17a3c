"""Keys that try to be something else: a path, a command, a page, a colour. All end in .jpg."""

from __future__ import annotations

MARK = "n4sty"

KEYS = [
    "../../../etc/n4sty-01.jpg",
    "/n4sty-02.jpg",
    "n4sty-03/../03.jpg",
    "n4sty-04//04.jpg",
    "./n4sty-05.jpg",
    "n4sty-06 'single' \"double\".jpg",
    "n4sty-07 $(touch n4sty-ran).jpg",
    "n4sty-08 `touch n4sty-ran`.jpg",
    "n4sty-09; touch n4sty-ran #.jpg",
    "n4sty-10 | touch n4sty-ran & .jpg",
    "-n4sty-11 --help.jpg",
    "n4sty-12 <script>alert(1)</script>.jpg",
    'n4sty-13"><img src=x onerror=alert(1)>.jpg',
    "n4sty-14 \x1b[31mred\x1b[0m\x1b]0;title\x07.jpg",
    "n4sty-15 \u202egpj.exe.jpg",
    "n4sty-16 \u200bwidth\ufeff.jpg",
    "n4sty-17 [red]markup[/red] [link=http://x]x[/link].jpg",
    "n4sty-18 {{7*7}} {% raw %} %s%n ${HOME}.jpg",
    "n4sty-19 \u00e9.jpg",
    "n4sty-20 e\u0301.jpg",
    "n4sty-21 \U0001f415\u200d\U0001f9ba.jpg",
    "n4sty-22 100%25 %2e%2e%2f + %00.jpg",
    "n4sty-23 C:\\con\\nul.jpg",
    "n4sty-24 | `table` | ![x](http://x) |.jpg",
    "n4sty-25 " + "x" * 900 + ".jpg",
    "n4sty-26 \t\r\x00.jpg".replace("\x00", "\x01"),
    "n4sty-27 http:/x/?a=b&c#d.jpg",
]

NO_KEYS_OF_SEAWEED = tuple(
    key
    for key in KEYS
    if "../" in key or "//" in key or "\\" in key or key[:2] in ("./", "/n") or len(key) > 255
)
"""What SeaweedFS takes for a path, as no bucket of AWS does, and refuses or keeps under another."""
