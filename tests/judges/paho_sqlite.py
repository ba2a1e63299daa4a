"""The peer of `fieldwright bench ingest`: paho-mqtt into SQLite.

Takes messages at QoS 1, parses the line of each and inserts them in batches of 10,000, one
transaction each, with a write-ahead log and full synchronisation. It acknowledges as paho does, on
receipt and not when they are durable, which is in its favour.

    python paho_sqlite.py PORT FILE
"""

import sqlite3
import sys

import paho.mqtt.client as mqtt

BATCH = 10_000


def main(port, path):
    store = sqlite3.connect(path)
    store.execute("PRAGMA journal_mode = WAL")
    store.execute("PRAGMA synchronous = FULL")
    store.execute("CREATE TABLE readings (series TEXT, fields TEXT, time INTEGER)")
    rows = []

    def commit():
        with store:
            store.executemany("INSERT INTO readings VALUES (?, ?, ?)", rows)
        rows.clear()

    def on_message(_client, _data, message):
        series, fields, time = message.payload.decode().rsplit(" ", 2)
        rows.append((series, fields, int(time)))
        if len(rows) >= BATCH:
            commit()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="peer")
    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe("influx/#", qos=1)
    client.connect("127.0.0.1", port, keepalive=600)
    # Until the feeder, which plays the broker, closes.
    while client.loop() == mqtt.MQTT_ERR_SUCCESS:
        pass
    commit()
    stored = store.execute("SELECT count(*) FROM readings").fetchone()[0]
    print(stored)
    if stored == 0:
        sys.exit("nothing was received")


main(int(sys.argv[1]), sys.argv[2])
