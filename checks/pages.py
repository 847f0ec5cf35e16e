"""Markdown pages (named on the input) are readable in a terminal, and the pages about the code name what is there."""
import os, re, sys

LINE_MAX = 120
# The pages whose names in backticks are held against the code.
ABOUT_THE_CODE = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "docs/durability.md", "docs/group.md"]
# What is made and not tracked, and what the standard library and the databases call their own.
ELSEWHERE = {"/sdk/presently.js", "Instant::now"}

tracked = [name for name in sys.stdin.read().split("\0") if name and os.path.exists(name)]
pages = [name for name in tracked if name.endswith(".md")]
wrong = []


def prose(page):
    """The numbered lines outside code blocks."""
    fence = None
    for number, line in enumerate(open(page, encoding="utf-8").read().splitlines(), 1):
        mark = re.match(r"\s*(```|~~~)", line)
        if mark and fence in (None, mark[1]):
            fence = None if fence else mark[1]
        elif not fence and not re.match(r" {4,}[^ *\-\d]", line):
            yield number, line


def is_long(line):
    """Tables, and lines with nothing in them that could be broken, are let alone."""
    return len(line) > LINE_MAX and not line.lstrip().startswith("|") and not re.fullmatch(r"\s*([-*] )?\S+", line)


def leads_to_a_file(path):
    path = path.rstrip("/")
    return any(name == path or f"/{path}/" in f"/{name}/" for name in tracked)


for page in pages:
    wrong += [f"{page}:{number}: a line of {len(line)} characters" for number, line in prose(page) if is_long(line)]

# What is defined: items, fields and variants.
words = set()
for name in tracked:
    if name.endswith(".rs"):
        text = open(name, encoding="utf-8").read()
        words.update(re.findall(r"\b(?:fn|struct|enum|trait|const|static|type) +(\w+)", text))
        words.update(re.findall(r"^ +(?:pub(?:\([a-z]+\))? +)?(\w+)(?::| \{|\(|,)", text, flags=re.M))
names = 0
for page in ABOUT_THE_CODE:
    for number, line in prose(page):
        for code in re.findall(r"`([^`]+)`", line):
            if code in ELSEWHERE:
                continue
            if re.fullmatch(r"[\w.-]*(/[\w.-]+)*(/|\.(rs|js|mjs|lua|py|sh|sql|md|toml))", code) and not code.startswith("/"):
                names += 1
                if not leads_to_a_file(code):
                    wrong.append(f"{page}:{number}: there is no file {code}")
            elif re.fullmatch(r"([A-Z]\w*)(::\w+)*", code) and not re.fullmatch(r"[A-Z]+", code):
                names += 1
                wrong += [f"{page}:{number}: nothing is called {word} ({code})" for word in code.split("::") if word not in words]

# The picture of ARCHITECTURE.md has the arrows of the crates that ship, and no others.
picture = re.search(r"```mermaid\nflowchart TD\n(.*?)```", open("ARCHITECTURE.md", encoding="utf-8").read(), re.S)[1]
drawn = {(a, b) for a, many in re.findall(r"^ +(\w+) --> ([\w &]+)$", picture, re.M) for b in many.split(" & ")}
built = set()
for name in tracked:
    crate = re.fullmatch(r"crates/(\w+)/Cargo\.toml", name)
    if crate and crate[1] != "testkit":
        needs = open(name, encoding="utf-8").read().partition("\n[dependencies]\n")[2].partition("\n[")[0]
        built |= {(crate[1], (b or "-presently")[1:]) for b in re.findall(r"^presently(-\w+)?\b", needs, re.M)}
wrong += [f"ARCHITECTURE.md: the arrow {a} -> {b} is drawn, and there is none" for a, b in sorted(drawn - built)]
wrong += [f"ARCHITECTURE.md: the arrow {a} -> {b} is missing" for a, b in sorted(built - drawn)]

print("\n".join([*wrong, f"{len(pages)} pages, {names} names"]))
sys.exit(bool(wrong) or not pages or not names)
