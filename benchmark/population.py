"""Many users, at once: rows written into `users`, and tokens signed here with the server's key.

A token without `sid`, as djangorestframework-simplejwt makes it, is accepted by the server; its presence session is its
`jti`. So a million users come online without a million password hashes.
"""

import base64
import hmac
import json
import os
import sqlite3
import time

from server import SECRET, Failure

PASSWORD = "a password of the benchmark"
HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=") + b"."
KEY = SECRET.encode()
# Its look is the name itself: no letter of it looks like another.
MODEL = "pattern"


def token(user_id, lifetime_s=86_400):
    now = int(time.time())
    # A second back: a token must not be from the future of a server that was started in the same second.
    return _signed(user_id, now - 1, now + lifetime_s, os.urandom(16).hex())


def _signed(user_id, issued_at, expires_at, jti):
    claims = b'{"token_type":"access","exp":%d,"iat":%d,"jti":"%s","user_id":%d}' % (
        expires_at, issued_at, jti.encode(), user_id)
    text = HEADER + base64.urlsafe_b64encode(claims).rstrip(b"=")
    return (text + b"." + base64.urlsafe_b64encode(hmac.digest(KEY, text, "sha256")).rstrip(b"=")).decode()


def write_tokens(user_ids, path, files=1):
    """One token a user, dealt out to `files` files (`%d` in `path` is the number of the file)."""
    now = int(time.time())
    salt = os.urandom(8).hex()
    outs = [open(path.replace("%d", str(n)), "w", encoding="ascii", buffering=1 << 20) for n in range(files)]
    for n, user_id in enumerate(user_ids):
        outs[n % files].write(_signed(user_id, now - 1, now + 86_400, f"{salt}{user_id:016x}") + "\n")
    for out in outs:
        out.close()


def settle(server):
    """Lets the server make its schema, and the first admin; then stops it."""
    server.start()
    server.stop()


def add_users(server, count):
    """`count` active accounts named u1, u2, …, all with one password, made of one that the program itself made.

    The server must not run. Returns their ids. Every other column gets what the model row has.
    """
    server.run("user", "create", MODEL, "--email", f"{MODEL}@example.org", "--role", "user", "--password-stdin",
               text=PASSWORD + "\n")
    database = sqlite3.connect(server.database, timeout=30, isolation_level=None)
    try:
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA cache_size=-262144")
        columns = [row[1] for row in database.execute("PRAGMA table_xinfo(users)") if row[6] == 0]
        first = database.execute("SELECT max(id) FROM users").fetchone()[0] + 1
        model = dict(zip(columns, database.execute(
            f"SELECT {', '.join(columns)} FROM users WHERE username = '{MODEL}'").fetchone()))
        # Whatever is made of the name or the address is made of those of each user.
        own = [column for column in columns if column == "id" or MODEL in str(model[column])]
        shared = [column for column in columns if column not in own]

        def value(column, n):
            return first + n if column == "id" else model[column].replace(MODEL, f"u{n + 1}")

        query = (f"INSERT INTO users ({', '.join(own + shared)}) VALUES ({', '.join('?' * len(columns))})")
        rest = tuple(model[column] for column in shared)
        database.execute("BEGIN IMMEDIATE")
        database.executemany(query, ((*(value(column, n) for column in own), *rest) for n in range(count)))
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise Failure(f"cannot add users: {error}") from error
    finally:
        database.close()
    return range(first, first + count)


def admin_id(server):
    rows = server.rows("SELECT id FROM users WHERE is_staff OR role = 'admin' ORDER BY id LIMIT 1")
    if not rows:
        raise Failure("there is no admin")
    return rows[0][0]
