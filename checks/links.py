"""Every relative link in the Markdown pages named on the input leads somewhere."""
import os, re, sys
failed = 0
slug = lambda text: re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", text).strip().lower()).replace(" ", "-")
def prose(path):
    text = open(path, encoding="utf-8").read()
    return re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.S | re.M)
def anchors(path):
    return {slug(heading) for heading in re.findall(r"^#+\s+(.*)$", prose(path), flags=re.M)}
pages = [page for page in sys.stdin.read().split("\0") if page and os.path.exists(page)]
for page in pages:
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    targets = re.findall(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)", text) + re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, flags=re.M)
    for target in targets:
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        file = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if not os.path.exists(file):
            print(f"{page}: {target} leads nowhere"); failed = 1
        elif anchor and file.endswith(".md") and anchor not in anchors(file):
            print(f"{page}: {target} names no heading of {file}"); failed = 1
print(f"{len(pages)} pages")
sys.exit(failed or not pages)
