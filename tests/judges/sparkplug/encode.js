// Encodes Sparkplug B messages with the `sparkplug-payload` package of the Tahu project.
//
//   npm install --no-save sparkplug-payload@1.0.3
//   node tests/judges/sparkplug/encode.js OUT
//
// Writes one JSON line per message to OUT: topic, payload in hexadecimal, and what a reader must
// find: samples, or the name of the refusal. `ingest/src/codec/sparkplug/messages.jsonl` is its
// output.

const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");
// The package is looked for where the command runs, not beside this file.
const { encodePayload } = createRequire(path.join(process.cwd(), "x.js"))("sparkplug-payload").get("spBv1.0");

const T = 1772434800000; // 2026-03-02T07:00:00Z
const lines = [];

function say(topic, payload, expected) {
  const bytes = Buffer.from(encodePayload(payload));
  lines.push(JSON.stringify({ topic, payload: bytes.toString("hex"), ...expected }));
}

const control = { name: "Node Control/Rebirth", type: "Boolean", value: false };
const bdSeq = (value) => ({ name: "bdSeq", type: "UInt64", value });
const unit = (text) => ({ engUnit: { type: "String", value: text } });
const quality = (code) => ({ Quality: { type: "Int32", value: code } });

// A node's birth with every scalar type, units and a control.
say("spBv1.0/plant1/NBIRTH/press1", {
  timestamp: T, seq: 0, metrics: [
    bdSeq(3), control,
    { name: "i8", alias: 1, type: "Int8", value: -5 },
    { name: "i16", alias: 2, type: "Int16", value: -300 },
    { name: "i32", alias: 3, type: "Int32", value: -70000 },
    { name: "i64", alias: 4, type: "Int64", value: -5000000000 },
    { name: "u8", alias: 5, type: "UInt8", value: 200 },
    { name: "u16", alias: 6, type: "UInt16", value: 60000 },
    { name: "u32", alias: 7, type: "UInt32", value: 4000000000 },
    { name: "u64", alias: 8, type: "UInt64", value: 9000000000 },
    { name: "Hydraulics/pressure", alias: 9, type: "Float", value: 12.5, properties: unit("bar") },
    { name: "temp", alias: 10, type: "Double", value: 71.25, properties: unit("°C") },
    { name: "running", alias: 11, type: "Boolean", value: true },
    { name: "recipe", alias: 12, type: "String", value: "Süß" },
    { name: "started", alias: 13, type: "DateTime", value: T - 1000 },
    { name: "serial", alias: 14, type: "UUID", value: "0190-x" },
  ],
}, {
  samples: [
    [T, "i8", -5, "good"], [T, "i16", -300, "good"], [T, "i32", -70000, "good"], [T, "i64", -5000000000, "good"],
    [T, "u8", 200, "good"], [T, "u16", 60000, "good"], [T, "u32", 4000000000, "good"], [T, "u64", 9000000000, "good"],
    [T, "Hydraulics/pressure", 12.5, "good", "bar"], [T, "temp", 71.25, "good", "°C"], [T, "running", 1, "good"],
    [T, "recipe", "Süß", "good"], [T, "started", "2026-03-02T06:59:59.000Z", "good"], [T, "serial", "0190-x", "good"],
  ],
});

// Data by alias, each metric with its own time, with qualities, and one without a value.
say("spBv1.0/plant1/NDATA/press1", {
  timestamp: T + 5000, seq: 1, metrics: [
    { alias: 9, timestamp: T + 1000, type: "Float", value: 12.75, properties: quality(192) },
    { alias: 10, timestamp: T + 1000, type: "Double", value: 72, properties: quality(64) },
    { alias: 3, timestamp: T + 2000, type: "Int32", value: -1, properties: quality(0) },
    { alias: 10, type: "Double", value: null },
  ],
}, {
  samples: [
    [T + 1000, "Hydraulics/pressure", 12.75, "good", "bar"], [T + 1000, "temp", 72, "uncertain", "°C"],
    [T + 2000, "i32", -1, "bad"], [T + 5000, "temp", null, "bad", "°C"],
  ],
});

// A device with its own aliases; old values that were kept while it was offline.
say("spBv1.0/plant1/DBIRTH/press1/pump", {
  timestamp: T, seq: 2, metrics: [{ name: "flow", alias: 20, type: "Double", value: 3.5, properties: unit("l/min") }],
}, { samples: [[T, "flow", 3.5, "good", "l/min"]] });
say("spBv1.0/plant1/DDATA/press1/pump", {
  timestamp: T + 6000, seq: 3, metrics: [
    { alias: 20, timestamp: T - 60000, type: "Double", value: 3.25, isHistorical: true },
    { alias: 20, timestamp: T + 6000, type: "Double", value: 3.75 },
  ],
}, { samples: [[T - 60000, "flow", 3.25, "good", "l/min"], [T + 6000, "flow", 3.75, "good", "l/min"]] });

// What has no place in a table.
say("spBv1.0/plant1/NDATA/press1", {
  timestamp: T, seq: 4, metrics: [{ name: "table", type: "DataSet", value: { numOfColumns: 1, columns: ["a"], types: ["Int32"], rows: [[1]] } }],
}, { refused: "unsupported_type" });
say("spBv1.0/plant1/NDATA/press1", {
  timestamp: T, seq: 5, metrics: [{ name: "udt", type: "Template", value: { isDefinition: true, version: "1", metrics: [], parameters: [] } }],
}, { refused: "unsupported_type" });
say("spBv1.0/plant1/NDATA/press1", {
  timestamp: T, seq: 6, metrics: [{ name: "picture", type: "Bytes", value: Uint8Array.from([1, 2, 3]) }],
}, { refused: "unsupported_type" });

// An alias that no birth declares, then a gap in the count.
say("spBv1.0/plant1/NDATA/press1", {
  timestamp: T, seq: 7, metrics: [{ alias: 99, type: "Double", value: 1 }],
}, { refused: "sparkplug_session", rebirth: true });
say("spBv1.0/plant1/NBIRTH/press1", {
  timestamp: T + 7000, seq: 0, metrics: [bdSeq(3), { name: "temp", alias: 1, type: "Double", value: 73 }],
}, { samples: [[T + 7000, "temp", 73, "good"]] });
say("spBv1.0/plant1/NDATA/press1", {
  timestamp: T + 8000, seq: 2, metrics: [{ alias: 1, type: "Double", value: 74 }],
}, { samples: [[T + 8000, "temp", 74, "good"]], rebirth: true });

// A late will kills nobody; the right one ends the session.
say("spBv1.0/plant1/NDEATH/press1", { timestamp: T, metrics: [bdSeq(2)] }, { samples: [], rebirth: true });
say("spBv1.0/plant1/NDEATH/press1", { timestamp: T, metrics: [bdSeq(3)] }, { samples: [] });
say("spBv1.0/plant1/NDATA/press1", {
  timestamp: T + 9000, seq: 3, metrics: [{ alias: 1, type: "Double", value: 75 }],
}, { refused: "sparkplug_session", rebirth: true });

fs.writeFileSync(process.argv[2], lines.join("\n") + "\n");
