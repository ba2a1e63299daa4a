//! Doors for fuzzers: bytes in, no panic out. No part of the crate's interface.
//!
//! `ingest/fuzz` drives them with libFuzzer, `tests/mutations.rs` with seeded mutations of
//! [`Payloads::corpus`].

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::ipc::writer::StreamWriter;
use chrono::{DateTime, Utc};
use prost::Message as _;

use crate::catalog::Catalog;
use crate::codec::sparkplug::wire::{Metric, MetricValue, Payload};
use crate::config::{IngestConfig, MappingRule};
use crate::decode::Decoder;
use crate::source::Envelope;

/// What payloads are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The contract's JSON.
    Json,
    /// JSON of another shape.
    ShapedJson,
    /// InfluxDB line protocol.
    LineProtocol,
    /// CSV lines.
    Csv,
    /// An Arrow IPC stream.
    ArrowIpc,
    /// Sparkplug B.
    SparkplugB,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Json,
        Self::ShapedJson,
        Self::LineProtocol,
        Self::Csv,
        Self::ArrowIpc,
        Self::SparkplugB,
    ];

    fn rule(self) -> &'static str {
        match self {
            Self::Json => "topic = 'f/{class}/{asset}'",
            Self::ShapedJson => {
                "topic = 'f/#'\ntime_unit = 's'\n[json]\nsamples = '/d'\ntime = '/t'\n\
                 metrics = '/m'\nclass = '/c'\nasset = '/a'\nquality = '/q'"
            }
            Self::LineProtocol => "topic = 'f/#'\ncodec = 'line_protocol'",
            Self::Csv => "topic = 'f/#'\ncodec = 'csv'\nclass = 'pump'\n[columns]\nquality = 'q'",
            Self::ArrowIpc => "topic = 'f/#'\ncodec = 'arrow_ipc'\nclass = 'pump'",
            Self::SparkplugB => "topic = 'spBv1.0/#'\ncodec = 'sparkplug_b'",
        }
    }
}

/// Takes payloads of one kind as the pipeline does, and forgets what it knows now and then.
#[derive(Debug)]
pub struct Payloads {
    kind: Kind,
    decoder: Decoder,
    catalog: Catalog,
    received_at: DateTime<Utc>,
}

impl Payloads {
    /// Nothing known yet.
    pub fn new(kind: Kind) -> Self {
        let rule = toml::from_str::<MappingRule>(kind.rule()).expect("the rule is readable");
        // Small bounds, so that what they do is met, too.
        let config = IngestConfig {
            rules: vec![rule],
            max_payload_bytes: 64 << 10,
            max_metrics_per_message: 64,
            max_metrics_per_table: 256,
            max_tables: 8,
            max_assets: 64,
            topic_cache: 16,
            sparkplug_nodes: 4,
            sparkplug_metrics: 64,
            ..IngestConfig::default()
        };
        Self {
            kind,
            decoder: Decoder::new(config.decode_rules()).expect("the rule is right"),
            catalog: Catalog::default(),
            received_at: DateTime::from_timestamp(1_772_434_800, 0).expect("an instant"),
        }
    }

    /// Takes a payload; whether it was accepted. Of Sparkplug, the first byte is the message type.
    pub fn take(&mut self, payload: &[u8]) -> bool {
        const SPOKEN: [&str; 6] = [
            "NBIRTH/n",
            "DBIRTH/n/d",
            "NDATA/n",
            "DDATA/n/d",
            "NDEATH/n",
            "DDEATH/n/d",
        ];
        let (topic, payload) = match (self.kind, payload.split_first()) {
            (Kind::SparkplugB, Some((first, rest))) => {
                let spoken = SPOKEN[usize::from(*first) % SPOKEN.len()];
                let (kind, sender) = spoken.split_once('/').unwrap_or_default();
                (format!("spBv1.0/g/{kind}/{sender}"), rest)
            }
            _ => ("f/pump/p1".to_owned(), payload),
        };
        let envelope = Envelope {
            topic: topic.into(),
            payload: payload.to_vec().into(),
            received_at: self.received_at,
        };
        let accepted = self.decoder.decode(&mut self.catalog, &envelope);
        accepted.is_ok_and(|accepted| accepted.rows().count() > 0)
    }

    /// Payloads that are right, to begin with.
    pub fn corpus(kind: Kind) -> Vec<Vec<u8>> {
        let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        match kind {
            Kind::Json => texts(&[
                r#"{"time":"2026-03-02T06:59:59.5Z","metrics":{"a":1,"b":-2.5e3,"s":"läuft","t":true}}"#,
                r#"{"time":1772434799000,"metrics":{"a":null,"b":0.1},"more":[1,{"x":"\u00e9"}]}"#,
            ]),
            Kind::ShapedJson => texts(&[
                r#"{"d":[{"t":1772434799,"c":"pump","a":"p1","m":{"a":1,"b":"x"},"q":"good"}]}"#,
                r#"{"c":"fan","a":"f1","d":{"t":"2026-03-02T06:00:00Z","m":[{"name":"a","value":1}]}}"#,
                r#"{"d":[{"t":1772434700,"c":"pump","a":"p2","m":{"a":{"value":3,"q":"bad"}},"q":{"a":"64"}}]}"#,
            ]),
            Kind::LineProtocol => texts(&[
                "pump,asset=p1,site=a\\ b temp=21.5,state=\"on, \\\"x\\\"\",n=3i,u=4u,ok=t 1772434799000000000\n",
                "# comment\npump,asset=p1 temp=1\n\npump,asset=p2 temp=-1e-3 1772434799000000001",
            ]),
            Kind::Csv => texts(&[
                "time,asset,a,s,q\n2026-03-02T06:59:59Z,p1,1.5,on,good\n1772434799000,p2,,off,bad\n",
                "asset,time,\"a \"\"b\"\"\"\r\np1,2026-03-02T06:59:59Z,\"2\"\r\n",
            ]),
            Kind::ArrowIpc => vec![arrow_stream(1), arrow_stream(3)],
            Kind::SparkplugB => {
                let message = |first: u8, seq: u64, alias: bool| {
                    let metric = Metric {
                        name: (!alias).then(|| "a".to_owned()),
                        alias: Some(7),
                        datatype: (!alias).then_some(10),
                        value: Some(MetricValue::Double(1.5)),
                        ..Metric::default()
                    };
                    let payload = Payload {
                        timestamp: Some(1_772_434_799_000),
                        seq: Some(seq),
                        metrics: vec![metric],
                        ..Payload::default()
                    };
                    [vec![first], payload.encode_to_vec()].concat()
                };
                vec![
                    message(0, 0, false),
                    message(1, 1, false),
                    message(2, 2, true),
                    message(3, 3, true),
                    message(5, 4, false),
                    message(4, 0, false),
                ]
            }
        }
    }
}

fn arrow_stream(rows: usize) -> Vec<u8> {
    let times = (0..rows as i64).map(|row| 1_772_434_799_000 - row);
    let time = TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 4] = [
        ("time", Arc::new(time)),
        ("asset", Arc::new(StringArray::from(vec!["p1"; rows]))),
        ("a", Arc::new(Float64Array::from(vec![Some(1.5); rows]))),
        ("s", Arc::new(StringArray::from(vec![Some("on"); rows]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).expect("memory");
    writer
        .write(&batch)
        .and_then(|()| writer.finish())
        .expect("memory");
    drop(writer);
    bytes
}
