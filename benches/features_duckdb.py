"""The feature engine against DuckDB: the same 102 features, per customer, to 1e-9, and how long each took.

    python3 -m venv v && v/bin/pip install duckdb numpy
    cargo build --release
    v/bin/python benches/features_duckdb.py EVENTS.parquet AS_OF [--threads N] [--memory SIZE] [--rounds N]

EVENTS has the columns customer_id, ts (timestamps without an offset), event or event_type, value and category. Counts and
sums of the six most frequent events in five windows, counts of the 30 most frequent categories, recency, tenure,
frequency, money, gaps between orders and three trends: SQL below, and in a configuration that is written beside the result.
DuckDB keeps its table in memory; bellwether's time includes writing the Parquet file, and is told without it, too.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time

import duckdb

WINDOWS = [7, 30, 90, 180, 365]
TOLERANCE = 1e-9  # of doubles; sums in another order differ by a few 1e-16


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("events")
    parser.add_argument("as_of")
    parser.add_argument("--order-event", default="purchase")
    parser.add_argument("--program", default="target/release/bellwether-train")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    db = duckdb.connect()
    db.execute(f"SET threads={options.threads}; SET preserve_insertion_order=false")
    names = [row[0] for row in db.execute(f"DESCRIBE SELECT * FROM read_parquet({quoted(options.events)})").fetchall()]
    event = "event_type" if "event_type" in names else "event"
    source = f"(SELECT customer_id, ts, {event}::VARCHAR AS event, value::DOUBLE AS value, category::VARCHAR AS category " \
             f"FROM read_parquet({quoted(options.events)}) WHERE ts < TIMESTAMP {quoted(options.as_of)} AND customer_id IS NOT NULL)"
    frequent = "SELECT {0} FROM {1} WHERE {0} IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, {0} LIMIT {2}"
    kinds = [row[0] for row in db.execute(frequent.format("event", source, 6)).fetchall()]
    # With one kind of event, counts of all kinds would repeat those of that kind.
    categories = [row[0] for row in db.execute(frequent.format("category", source, 30)).fetchall()] if len(kinds) > 1 else []

    with tempfile.TemporaryDirectory() as folder:
        config, out = os.path.join(folder, "same.toml"), os.path.join(folder, "features.parquet")
        declared = [(f"{agg[0]}_{k}_{w}", agg, kind, w) for k, kind in enumerate(kinds) for w in WINDOWS
                    for agg in ("count", "sum")]
        wanted = ["days_since_last_event", "tenure_days", "days_since_last_order", "order_lines", "spend", "events",
                  "average_gap_days", "gap_spread_days", "gap_spread_ratio", "events_ratio_30d_90d",
                  "events_ratio_90d_180d", "spend_ratio_30d_90d"]
        patterns = wanted + [name for name, *_ in declared] + (["events_category_*"] if categories else [])
        with open(config, "w") as file:
            file.write(f"[events]\norder_event = \"{options.order_event}\"\n[features]\nwindows = {WINDOWS}\n"
                       f"max_categories = 30\nmax_category_columns = 100000\nmax_contact_points = 0\nmax_numbers = 0\n"
                       f"include = {patterns}\n".replace("'", '"'))
            for name, agg, kind, days in declared:
                value = 'value = "value"\n' if agg == "sum" else ""
                file.write(f'[[feature]]\nname = "{name}"\nagg = "{agg}"\nevent = "{kind}"\nwindow_days = {days}\n{value}')
        command = [options.program, "build", "--events", options.events, "--config", config, "--as-of", options.as_of,
                   "--threads", str(options.threads), "--quiet"]
        command += ["--memory", options.memory] if options.memory else []
        ours, written = [], []
        for _ in range(options.rounds):
            start = time.time()
            subprocess.run(command + ["--dry-run", "--out", out], check=True, stdout=subprocess.DEVNULL)
            ours.append(time.time() - start)
            start = time.time()
            subprocess.run(command + ["--double", "--out", out], check=True, stdout=subprocess.DEVNULL)
            written.append(time.time() - start)

        columns = [row[0] for row in db.execute(f"DESCRIBE SELECT * FROM read_parquet({quoted(out)})").fetchall()]
        of_category = [name for name in columns if name.startswith("events_category_")]

        at = f"TIMESTAMP {quoted(options.as_of)}"
        days = lambda what: f"epoch_us({at} - {what}) / 864e8"
        line = f"event = {quoted(options.order_event)} AND NOT coalesce(value < 0, false)"
        select = ["customer_id", f"{days('max(ts)')} AS days_since_last_event", f"{days('min(ts)')} AS tenure_days",
                  f"{days(f'max(ts) FILTER ({line})')} AS days_since_last_order",
                  f"count(*) FILTER ({line}) AS order_lines",
                  f"coalesce(sum(value) FILTER (event = {quoted(options.order_event)}), 0) AS spend", "count(*) AS events"]
        for name, agg, kind, window in declared:
            what = "count(*)" if agg == "count" else "sum(value)"
            where = f"event = {quoted(kind)} AND ts >= {at} - INTERVAL {window} DAY"
            select.append(f"coalesce({what} FILTER ({where}), 0) AS {name}")
        for window in (30, 90, 180):
            recent = f"ts >= {at} - INTERVAL {window} DAY"
            select.append(f"count(*) FILTER ({recent}) AS all_{window}")
            select.append(f"coalesce(sum(value) FILTER (event = {quoted(options.order_event)} AND {recent}), 0) AS spend_{window}")
        for k, category in enumerate(categories):
            select.append(f"count(*) FILTER (category = {quoted(category)}) AS category_{k}")
        gaps = f"""SELECT customer_id, avg(gap) AS average_gap_days, stddev_pop(gap) AS gap_spread_days,
                   stddev_pop(gap) / nullif(avg(gap), 0) AS gap_spread_ratio FROM (
                   SELECT customer_id, epoch_us(ts - lag(ts) OVER (PARTITION BY customer_id ORDER BY ts)) / 864e8 AS gap
                   FROM {source} WHERE {line}) GROUP BY 1"""
        query = f"""CREATE OR REPLACE TEMP TABLE theirs AS WITH a AS (SELECT {', '.join(select)} FROM {source} GROUP BY customer_id),
                    b AS ({gaps}) SELECT *, all_30 / greatest(all_90 / 3.0, 1) AS events_ratio_30d_90d,
                    all_90 / greatest(all_180 / 2.0, 1) AS events_ratio_90d_180d,
                    spend_30 / greatest(spend_90 / 3.0, 1) AS spend_ratio_30d_90d
                    FROM a LEFT JOIN b USING (customer_id)"""
        theirs = []
        for _ in range(options.rounds):
            start = time.time()
            db.execute(query)
            theirs.append(time.time() - start)

        db.execute(f"CREATE TEMP TABLE ours AS SELECT * FROM read_parquet({quoted(out)})")
        n_ours, n_theirs = (db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("ours", "theirs"))
        pairs = {name: name for name in wanted + [name for name, *_ in declared]}
        slug = lambda text: re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
        for k, category in enumerate(categories):
            name = f"events_category_{slug(category)}"
            if name in of_category:
                pairs[name] = f"category_{k}"
        worst, wrong = 0.0, 0
        for name, theirs_name in pairs.items():
            o, t = f'o."{name}"', f't."{theirs_name}"'
            off = f"abs({o} - {t}) / greatest(abs({t}), 1)"
            bad = f"({o} IS NULL) <> ({t} IS NULL) OR coalesce({off}, 0) > {TOLERANCE}"
            n_bad, largest = db.execute(
                f"SELECT count(*) FILTER ({bad}), max({off}) FROM ours o JOIN theirs t "
                f"ON o.customer_id = t.customer_id::VARCHAR").fetchone()
            worst = max(worst, largest or 0.0)
            if n_bad:
                wrong += 1
                print(f"DIFFERS: {name}: {n_bad} customers")
        best = min(theirs)
        print(f"{len(pairs)} features of {n_ours} customers (DuckDB: {n_theirs}); largest difference {worst:.1e}")
        print(f"bellwether {min(ours):.2f} s, with a Parquet file of doubles {min(written):.2f} s; "
              f"DuckDB {duckdb.__version__} {best:.2f} s: {best / min(ours):.1f} times as long")
        if wrong or n_ours != n_theirs or len(pairs) < len(wanted) + len(declared) + 0.9 * len(categories):
            sys.exit("the features differ")


if __name__ == "__main__":
    main()
