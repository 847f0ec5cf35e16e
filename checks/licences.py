"""Every package of `cargo metadata` has a licence that deny.toml allows."""
import json, re, sys
allowed = set(re.findall(r"\"([^\"]+)\"", re.search(r"^allow = \[(.*?)^\]", open("deny.toml", encoding="utf-8").read(), re.S | re.M)[1]))
def holds(expression):
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    def either():
        value = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0); value = both() or value
        return value
    def both():
        value = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0); value = one() and value
        return value
    def one():
        token = tokens.pop(0)
        if token == "(":
            value = either(); tokens.pop(0); return value
        if len(tokens) > 1 and tokens[0] == "WITH":
            tokens.pop(0); token += " WITH " + tokens.pop(0)
        return token in allowed
    return either()
packages = json.load(sys.stdin)["packages"]
bad = [p for p in packages if not (p.get("license") and holds(p["license"]))]
for p in bad:
    print(p["name"], p["version"], "has the licence", p.get("license") or "(none named)", "which is not on the list of deny.toml")
print(f"{len(packages)} packages")
sys.exit(bool(bad))
