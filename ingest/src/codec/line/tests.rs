//! Line protocol: what lines decode to, as text.

use crate::codec::said::{T, World};
use crate::config::IngestConfig;

const TRUCK: &str = "readings,name=truck_1,fleet=South,driver=Trish,model=H-2,device_version=v2.3,\
    load_capacity=1500,fuel_capacity=150,nominal_fuel_consumption=12 latitude=52.31854,\
    longitude=4.72037,elevation=124i,velocity=0,heading=221,grade=0,fuel_consumption=25 \
    1772434800000000000";

/// One rule for all lines, `extra` in it.
#[track_caller]
fn check_under(extra: &str, lines: &str, expected: &[&str]) {
    let rule = format!("topic = \"lines\"\ncodec = \"line_protocol\"\n{extra}");
    let mut world = World::of(&rule);
    assert_eq!(world.said("lines", lines.as_bytes()), expected, "{lines}");
    // The second time every series is known.
    let again = world.said("lines", lines.as_bytes());
    assert_eq!(again, expected, "again: {lines}");
}

#[track_caller]
fn check(lines: &str, expected: &[&str]) {
    check_under("shared_assets = true", lines, expected);
}

#[test]
fn lines() {
    check(
        "pump,asset=P1 a=1 1772434800000000000",
        &["pump P1 0 a=1.0"],
    );
    check("pump,asset=P1 a=1", &["pump P1 0 a=1.0"]);
    check(
        "pump,host=h1,rack=7 a=1.5,b=-2i,c=3u,d=t,e=FALSE,f=\"on\" 1772434800000001999\n",
        &["pump h1 1 rack:7 a=1.5 b=-2.0 c=3.0 d=1.0 e=0.0 f=on"],
    );
    check(
        "# a comment\n\n pump,asset=P1 a=1 1772434800000000000\r\nfan,asset=F1 a=1e-3 1772434799999999000\n",
        &["pump P1 0 a=1.0", "fan F1 -1 a=0.001"],
    );
    // Escapes, in the places where each is one.
    check(
        "pu\\mp,asset=P\\ 1\\,x,a\\=b=c\\ d,e=f\\\\ s\\ p=1,q=\"a \\\"b\\\\ \\n, =\" 1772434800000000000",
        &["bad_class"],
    );
    check(
        "pump,asset=P\\ 1\\,x,a\\=b=c\\ d,e=f\\g s\\ p=1,q=\"a \\\"b\\\\ \\n, =\" 1772434800000000000",
        &["pump P 1,x 0 a=b:c d e:f\\g s p=1.0 q=a \"b\\ \\n, ="],
    );
    check(
        "pump,asset=P1 t=\"two\nlines\" 1772434800000000000\npump,asset=P1 a=1 1772434800000001000",
        &["pump P1 0 t=two\nlines", "pump P1 1 a=1.0"],
    );
    // The same instant of one series is one row.
    check(
        "pump,asset=P1 a=1,b=1 1772434800000000000\npump,asset=P1 b=2,c=3 1772434800000000000",
        &["pump P1 0 a=1.0 b=2.0 c=3.0"],
    );
    // A field stands over a tag of its name.
    check(
        "pump,asset=P1,mode=x mode=\"y\",a=1 1772434800000000000",
        &["pump P1 0 mode:x mode=y a=1.0"],
    );
}

#[test]
fn the_lines_of_tsbs() {
    check_under(
        "line_protocol = { classes = { readings = \"truck\" } }",
        TRUCK,
        &[
            "truck truck_1 0 fleet:South driver:Trish model:H-2 device_version:v2.3 \
           load_capacity:1500 fuel_capacity:150 nominal_fuel_consumption:12 latitude=52.31854 \
           longitude=4.72037 elevation=124.0 velocity=0.0 heading=221.0 grade=0.0 \
           fuel_consumption=25.0",
        ],
    );
    check(TRUCK, &["reserved_class"]);
    check_under(
        "class = \"truck\"\nline_protocol = { tags = \"ignore\" }\nignore = [\"latitude\"]",
        &TRUCK.replace(",elevation=124i,velocity=0,heading=221,grade=0", ""),
        &["truck truck_1 0 longitude=4.72037 fuel_consumption=25.0"],
    );
}

#[test]
fn what_is_refused() {
    for lines in [
        "pump,asset=P1",
        "pump,asset=P1 ",
        "pump,asset=P1 a",
        "pump,asset=P1 a=",
        "pump,asset=P1 =1",
        "pump,asset=P1 a=1,",
        "pump,asset=P1 a=1 x",
        "pump,asset=P1 a=1 -",
        "pump,asset=P1 a=1 1 1",
        "pump,asset=P1 a=one",
        "pump,asset=P1 a=1j",
        "pump,asset=P1 a=0x10",
        "pump,asset=P1 a=inf",
        "pump,asset=P1 a=i",
        "pump,asset=P1 a=1.5i",
        "pump,asset=P1 a=-1u",
        "pump,asset=P1 a=9223372036854775808i",
        "pump,asset=P1 a=\"x",
        "pump,asset=P1 a=\"x\"y",
        "pump,asset a=1",
        "pump,asset= a=1",
        "pump,=P1 a=1",
        "pump,asset=P1,asset=P2 a=1",
        "pump,asset=P1=2 a=1",
        ",asset=P1 a=1",
        "pump,asset=P1\ta=1",
    ] {
        check(lines, &["malformed"]);
        let behind = format!("pump,asset=P1 a=1 1772434800000000000\n{lines}");
        check(&behind, &["malformed"]);
    }
    check("", &["no_metrics"]);
    check("# nothing\n", &["no_metrics"]);
    check("pump", &["no_asset"]);
    check("pump a=1", &["no_asset"]);
    check("pump,asset=a/b a=1", &["bad_asset"]);
    check("pump,asset=P1 a=1,a=2", &["metric_twice"]);
    check("pump,asset=P1 time=1", &["reserved_metric"]);
    check("pump,asset=P1,time=x a=1", &["reserved_metric"]);
    check("pump,asset=P1 a=1e999", &["not_finite"]);
    check("pump,asset=P1 a=1 0", &["before_1990"]);
    check("pump,asset=P1 a=1 1772435401000000000", &["too_far_ahead"]);
    check("pump,asset=P1 a=1 99999999999999999999", &["too_far_ahead"]);
    // One bad line refuses all.
    let mut world = World::of("topic = \"lines\"\ncodec = \"line_protocol\"");
    let mixed = "pump,asset=P1 a=1 1772434800000000000\npump,asset=P1 a=1 0\n";
    assert_eq!(world.said("lines", mixed.as_bytes()), ["before_1990"]);
    assert_eq!(world.catalog.tables(), 0);
    let refusal = world.refusal("lines", b"pump,asset=P1 a=1\npump,asset=P1 a=x");
    let said = refusal.unwrap().to_string();
    assert!(said.contains("at byte 16 of line 2"), "{said}");
    // Every reason says its line, the first one of the gravest kind.
    for (lines, line, of) in [
        ("pump,asset=P1 a=1\npump a=1", 2, "no_asset"),
        (
            "# x\n\npump,asset=a/b a=1\npump,asset=P1 a=1",
            3,
            "bad_asset",
        ),
        (
            "pump,asset=P1 t=\"two\nlines\"\n2,asset=P1 a=1",
            3,
            "bad_class",
        ),
        (
            "pump,asset=P1 a=1\npump,asset=P1 a=1 0\npump,asset=P1 b=1e999",
            3,
            "not_finite",
        ),
        ("pump,asset=P1 a=1 0\npump,asset=P1 a=1 1", 1, "before_1990"),
    ] {
        let refusal = world.refusal("lines", lines.as_bytes()).unwrap();
        assert_eq!(refusal.name(), of, "{lines}");
        let said = refusal.to_string();
        assert!(said.starts_with(&format!("line {line}: ")), "{said}");
    }
    assert_eq!(world.said("lines", b"pump,asset=\xff a=1"), ["malformed"]);
}

#[test]
fn the_topic_may_say_part_of_it() {
    let rule = "topic = \"{asset}/{precision}\"\ncodec = \"line_protocol\"\nclass = \"pump\"";
    let mut world = World::of(rule);
    for _ in 0..2 {
        let said = world.said("P1/s", b"m,rig=x a=1 1772434800\nn,rig=y b=2 1772434801");
        let expected = ["pump P1 0 rig:x a=1.0", "pump P1 1000000 rig:y b=2.0"];
        assert_eq!(said, expected);
        let said = world.said("P2/ms", b"m,rig=x a=1 1772434800000");
        assert_eq!(said, ["pump P2 0 rig:x a=1.0"]);
    }
}

#[test]
fn the_write_door_and_what_telegraf_publishes() {
    let mut world = World::with(&IngestConfig::default());
    for (topic, time, expected) in [
        ("$write/v2/ns/plant", "1772434800000001000", 1),
        ("$write/v2/us/plant", "1772434800000001", 1),
        ("$write/v2/ms/plant", "1772434800001", 1_000),
        ("$write/v2/s/plant/x", "1772434801", 1_000_000),
        ("$write/v2/s/plant", "", 0),
        ("influx/telegraf/h1", "1772434800000001000", 1),
    ] {
        let line = format!("cpu,host=h1 usage=3.5 {time}");
        let said = world.said(topic, line.as_bytes());
        assert_eq!(said, [format!("cpu h1 {expected} usage=3.5")], "{topic}");
    }
    // One host has many measurements.
    let said = world.said(
        "$write/v2/s/plant",
        b"mem,host=h1 used=1i\ndisk,host=h1,path=/ used=2i",
    );
    assert_eq!(said, ["mem h1 0 used=1.0", "disk h1 0 path:/ used=2.0"]);
    assert_eq!(
        world.said("$write/v2/h/plant", b"mem,host=h1 used=1i"),
        ["unknown_topic"]
    );
}

#[test]
fn units_names_and_times() {
    check_under(
        "time_unit = \"ms\"\nrename = { t = \"temperature\" }\n\
         units = { temperature = { published = \"degF\", stored = \"degC\" }, speed = \"rpm\" }",
        "pump,asset=P1 t=212,speed=1500 1772434800001",
        &["pump P1 1000 temperature[degC]=100.0 speed[rpm]=1500.0"],
    );
    check_under(
        "time_source = \"receipt\"",
        "pump,asset=P1 a=1 0",
        &["pump P1 0 a=1.0"],
    );
    check_under(
        "time_source = \"payload\"",
        "pump,asset=P1 a=1",
        &["no_time"],
    );
    let asset_tag = "line_protocol = { asset_tag = [\"rig\", \"unit\"] }";
    check_under(asset_tag, "pump,unit=U1,asset=x a=1", &["reserved_metric"]);
    check_under(
        asset_tag,
        "pump,unit=U1,rig=R1 a=1",
        &["pump R1 0 unit:U1 a=1.0"],
    );
}

#[test]
fn many_series_in_any_order() {
    let mut world = World::of("topic = \"lines\"\ncodec = \"line_protocol\"");
    let mut state = 7_u64;
    for round in 0..40_i64 {
        let mut lines = String::new();
        let mut expected = Vec::new();
        for place in 0..30 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let truck = if round % 2 == 0 { place } else { state % 30 };
            let time = round * 100 + place as i64;
            let nanos = (T + time) * 1000;
            lines.push_str(&format!(
                "truck,name=t{truck},fleet=f{} v={truck} {nanos}\n",
                truck % 3
            ));
            expected.push(format!(
                "truck t{truck} {time} fleet:f{} v={truck}.0",
                truck % 3
            ));
        }
        assert_eq!(world.said("lines", lines.as_bytes()), expected);
    }
}

/// Lines that the `influxdb-client` of Python wrote, with what it was given.
#[test]
fn what_a_foreign_client_writes() {
    #[derive(serde::Deserialize)]
    struct Point {
        line: String,
        measurement: String,
        tags: std::collections::BTreeMap<String, String>,
        /// Kind and text, so that no other reader touches a number.
        fields: std::collections::BTreeMap<String, (char, String)>,
        after_us: i64,
    }
    let mut names = 0;
    for written in include_str!("influxdb_client.jsonl").lines() {
        let point: Point = serde_json::from_str(written).unwrap();
        // A world each: no point decides another's types.
        let mut world = World::of("topic = \"lines\"\ncodec = \"line_protocol\"");
        let said = world.said("lines", point.line.as_bytes());
        let head = format!(
            "{} {} {}",
            point.measurement, point.tags["asset"], point.after_us
        );
        let tags = point.tags.iter().filter(|(name, _)| *name != "asset");
        let tags = tags.map(|(name, text)| format!("{name}:{text}"));
        let fields = point.fields.iter().map(|(name, (kind, text))| match kind {
            's' => format!("{name}={text}"),
            'b' => format!("{name}={:?}", f64::from(u8::from(text == "True"))),
            _ => format!("{name}={:?}", text.parse::<f64>().unwrap()),
        });
        assert_eq!(said.len(), 1, "{}", point.line);
        let rest = said[0].strip_prefix(&head);
        let rest = rest.unwrap_or_else(|| panic!("{} of {}", said[0], point.line));
        // Cells may hold spaces: each is looked for, and nothing else may be left.
        let mut left = rest.len();
        for cell in tags.chain(fields) {
            assert!(
                rest.contains(&format!(" {cell}")),
                "{cell:?} in {rest:?} of {}",
                point.line
            );
            left -= cell.len() + 1;
            names += 1;
        }
        assert_eq!(left, 0, "{}", point.line);
    }
    assert!(names > 400, "{names}");
}
