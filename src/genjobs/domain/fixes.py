"""What to do about what an examination finds, by code; ``docs/doctor.md`` is drawn from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: By what is looked at. Codes are never renamed once released.
FIXES_BY_PART: Final[Mapping[str, Mapping[str, str]]] = {
    "the examination itself": {
        "check_too_slow": "Nothing answered in time. Run it again; if it stays so, look at what "
        "is between this machine and the part that was looked at.",
        "check_crashed": "The check itself went wrong. Run it again with GENJOBS_LOG_LEVEL=debug "
        "and report what it prints.",
    },
    "settings": {
        "settings_refused": "Correct what is named; .env.example describes every setting.",
        "not_production": "Set GENJOBS_ENV=production where customers are served: it refuses "
        "embedded parts and powerful database roles.",
        "no_token_keys": "Set GENJOBS_TOKEN_KEYS to a JSON list with a secret of at least 32 "
        "characters, the same for every API process.",
        "pins_unresolved": "Run `genjobs pins resolve` on a machine with the Internet and git "
        "(docs/pins.md); an image with an unresolved pin does not build.",
    },
    "database": {
        "database_unreachable": "See that the server runs, that host and port of the URL are "
        "right, and that its firewall lets this machine in.",
        "database_login_refused": "Correct user and password in the URL; percent-encode characters "
        "that mean something in URLs.",
        "database_missing": "Create the database, or correct its name in the URL.",
        "database_tls_optional": "Add ssl=require to the query of the URL: without it the driver "
        "goes on in clear when the server offers no TLS.",
        "role_wrong": "Connect with a login that is a member of the role that is named and of no "
        "other of ours: CREATE ROLE ... LOGIN PASSWORD ... IN ROLE genjobs_api (or "
        "genjobs_worker).",
        "role_too_powerful": "Make a login of its own with CREATE ROLE ... LOGIN in SQL. Logins "
        "that a provider's console makes are often members of a role that bypasses row-level "
        "security.",
        "role_reaches_too_little": "Run `genjobs db upgrade` as the owner: it grants anew what the "
        "roles need.",
        "row_security_inactive": "Run `genjobs db upgrade` as the owner; row-level security is not "
        "in force for the API's login.",
        "owner_wrong": "Use the URL of the role that owns the schema genjobs, the one that ran the "
        "first `genjobs db upgrade`.",
        "owner_may_not_create": "Give the owner CREATE on the database and CREATEROLE, or have an "
        "administrator create the roles genjobs_api and genjobs_worker.",
        "owner_bypasses": "Nothing must be done: administration works. Prefer an owner without "
        "SUPERUSER and BYPASSRLS where your provider lets you make one.",
        "postgres_too_old": "Use Postgres 15 or later.",
        "not_migrated": "Run `genjobs db upgrade`.",
        "revision_behind": "Run `genjobs db upgrade` with this version, then replace processes.",
        "revision_ahead": "Another version has migrated this database, which this one works with; "
        "deploy that version, or go on with a rollback.",
        "schema_code_differs": "Run `genjobs db upgrade` with this version: functions and grants "
        "are of another one.",
        "pooler_not_declared": "Add pooler=transaction to the query of this URL, or use the direct "
        "address: prepared statements and LISTEN break behind a transaction pooler.",
        "pooler_not_seen": "Take pooler=transaction out of this URL if it leads to the server "
        "itself: statements are prepared again then, and cancels arrive at once.",
        "owner_pooled": "Use the direct address in GENJOBS_OWNER_DATABASE_URL: migrations hold a "
        "lock of the session, which a transaction pooler loses.",
        "connections_too_few": "Lower GENJOBS_MODAL_POOL_SIZE or the numbers of containers, put a "
        "pooler between, or raise the server's max_connections.",
        "clock_differs": "Let this machine's clock be set by NTP.",
        "clock_far": "Set this machine's clock: leases, deadlines, tokens and signed links are "
        "judged by it.",
    },
    "store": {
        "store_unreachable": "See that GENJOBS_ARTIFACTS_URL names the right account or endpoint, "
        "and that this machine may reach it.",
        "store_refused": "Give the token the right to read, write, list and delete objects of this "
        "one bucket (R2: Object Read & Write), and check both halves of it.",
        "store_bucket_missing": "Create the bucket, or correct its name in GENJOBS_ARTIFACTS_URL.",
        "store_wrong_bytes": "What was read is not what was written. Use a store that supports "
        "range requests, with nothing between that changes bodies.",
        "store_not_deleted": "Give the token the right to delete objects, and let no rule of the "
        "bucket lock them: retention and erasure need it.",
        "signed_put_refused": "Give the token the right to write; set this machine's clock; let "
        "nothing on the way to the store change headers.",
        "signed_get_refused": "Give the token the right to read, and set this machine's clock: a "
        "signature is judged by the time in it.",
        "tampered_url_accepted": "Do not use this store: it serves what no signature covers. Make "
        "sure that the bucket is private, without a public domain.",
        "tls_not_trusted": "Use an endpoint whose certificate is valid for its name and signed by "
        "an authority that this machine knows.",
        "tls_expires_soon": "Renew the certificate of the endpoint.",
        "store_unencrypted": "Use an https endpoint; production refuses any other.",
    },
    "Modal": {
        "modal_unreachable": "Check the token (`modal token info`), and that this machine reaches "
        "Modal.",
        "modal_app_missing": "Deploy it: `make deploy`.",
        "modal_function_missing": "Deploy it again: what is deployed is another version's.",
        "modal_secret_missing": "Make it with all its keys: `modal secret create NAME "
        "--from-dotenv FILE`; docs/deploy.md lists the keys.",
        "modal_volume_missing": "It is made by the first deployment; then run "
        "`modal run deploy/modal_app.py::fetch_models`.",
        "image_builder_differs": "Deploy with MODAL_IMAGE_BUILDER_VERSION set to the version "
        "that is named: another one makes other images from the same pins.",
        "proxy_auth_shuts_browsers": "Browsers with end users' tokens have no proxy token. Deploy "
        "the read-only function for them, or let the site's backend read for them.",
    },
    "ComfyUI": {
        "comfyui_unreachable": "Start ComfyUI, or correct GENJOBS_COMFYUI_URL.",
        "comfyui_command_missing": "Correct GENJOBS_COMFYUI_COMMAND: there is no such program.",
    },
}
FIXES: Final[Mapping[str, str]] = {
    code: fix for part in FIXES_BY_PART.values() for code, fix in part.items()
}
