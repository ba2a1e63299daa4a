use super::*;
use Version::{V4, V5};

fn connect_body(flags: u8, rest: &[u8]) -> Vec<u8> {
    [&[0, 4, b'M', b'Q', b'T', b'T', 4, flags, 0, 60], rest].concat()
}

fn connect_body_5(flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut body = connect_body(flags, rest);
    body[6] = 5;
    body
}

#[test]
fn legal_connects_are_read() {
    let plain = connect(&connect_body(0b10, &[0, 1, b'a'])).unwrap();
    assert_eq!(plain.client_id, "a");
    assert!(plain.clean_start && plain.will.is_none());
    assert_eq!((plain.keep_alive, plain.session_expiry), (60, 0));
    let full = connect(&connect_body(
        0b1110_1100,
        &[0, 1, b'a', 0, 1, b't', 0, 1, b'm', 0, 1, b'u', 0, 1, b'p'],
    ))
    .unwrap();
    let will = full.will.unwrap();
    assert_eq!((will.topic.as_str(), &will.payload[..]), ("t", &b"m"[..]));
    assert_eq!((will.qos, will.retain), (1, true));
    assert!(!full.clean_start && full.session_expiry == NEVER);
    assert_eq!(full.user.as_deref(), Some("u"));
    assert_eq!(full.password.as_deref(), Some(&b"p"[..]));
}

#[test]
fn legal_connects_of_mqtt_5_are_read() {
    let plain = connect(&connect_body_5(0, &[0, 0, 1, b'a'])).unwrap();
    assert_eq!((plain.version, plain.clean_start), (V5, false));
    assert_eq!((plain.session_expiry, plain.receive_maximum), (0, u16::MAX));
    let properties = [
        0x11, 0, 0, 0, 9, 0x21, 0, 7, 0x27, 0, 0, 1, 0, 0x22, 0, 3, 0x26, 0, 1, b'k', 0, 1, b'v',
    ];
    let will = [
        0x18, 0, 0, 0, 5, 0x02, 0, 0, 0, 6, 0x26, 0, 1, b'k', 0, 1, b'v', 0x03, 0, 1, b'c',
    ];
    let rest = [
        &[properties.len() as u8][..],
        &properties,
        &[0, 1, b'a', will.len() as u8],
        &will,
        &[0, 1, b't', 0, 1, b'm', 0, 1, b'u', 0, 1, b'p'],
    ]
    .concat();
    let full = connect(&connect_body_5(0b1111_0110, &rest)).unwrap();
    assert_eq!((full.session_expiry, full.receive_maximum), (9, 7));
    assert_eq!((full.maximum_packet, full.topic_aliases), (256, 3));
    let left = full.will.unwrap();
    assert_eq!((left.delay, left.expiry, left.qos), (5, Some(6), 2));
    assert_eq!(left.properties, will[10..]);
    assert_eq!(full.password.as_deref(), Some(&b"p"[..]));
}

#[test]
fn illegal_connects_are_refused() {
    for (what, body) in [
        ("empty", vec![]),
        ("not MQTT", b"GET / HTTP/1.1\r\n".to_vec()),
        ("reserved flag", connect_body(0b11, &[0, 1, b'a'])),
        (
            "will quality 3",
            connect_body(0b1_1110, &[0, 1, b'a', 0, 1, b't', 0, 1, b'm']),
        ),
        ("will flags alone", connect_body(0b1010, &[0, 1, b'a'])),
        (
            "password alone",
            connect_body(0b0100_0010, &[0, 1, b'a', 0, 1, b'p']),
        ),
        ("trailing bytes", connect_body(0b10, &[0, 1, b'a', 9])),
        ("short", connect_body(0b10, &[0, 9, b'a'])),
        ("null in id", connect_body(0b10, &[0, 1, 0])),
        ("id is not text", connect_body(0b10, &[0, 1, 0xff])),
        ("5: no properties", connect_body_5(0b10, &[])),
        ("5: short properties", connect_body_5(0b10, &[9, 0x11])),
        (
            "5: a property twice",
            connect_body_5(0b10, &[6, 0x21, 0, 1, 0x21, 0, 1, 0, 1, b'a']),
        ),
        (
            "5: receives nothing",
            connect_body_5(0b10, &[3, 0x21, 0, 0, 0, 1, b'a']),
        ),
        (
            "5: a property of PUBLISH",
            connect_body_5(0b10, &[3, 0x23, 0, 1, 0, 1, b'a']),
        ),
        (
            "5: trailing bytes",
            connect_body_5(0b10, &[0, 0, 1, b'a', 9]),
        ),
    ] {
        assert!(connect(&body).is_err(), "{what}");
    }
    for level in [3u8, 6] {
        let mut body = connect_body(0b10, &[0, 1, b'a']);
        body[6] = level;
        assert_eq!(connect(&body).err(), Some(PacketError::Version { level }));
    }
}

#[test]
fn requests_are_checked() {
    let ok = subscribe(&[0, 7, 0, 1, b'a', 1, 0, 1, b'#', 2], V4).unwrap();
    assert_eq!(ok.packet_id, 7);
    let of = |qos| Options {
        qos,
        ..Options::default()
    };
    assert_eq!(
        ok.filters,
        [("a".to_owned(), of(1)), ("#".to_owned(), of(2))]
    );
    for body in [
        &[][..],
        &[0, 1],
        &[0, 0, 0, 1, b'a', 0],
        &[0, 1, 0, 1, b'a', 3],
        &[0, 1, 0, 1, b'a', 4],
        &[0, 1, 0, 1, b'a', 0x41],
        &[0, 1, 0, 1, b'a'],
        &[0, 1, 0, 9, b'a', 0],
    ] {
        assert!(subscribe(body, V4).is_err(), "{body:?}");
    }
    let five = subscribe(&[0, 7, 2, 0x0b, 9, 0, 1, b'a', 0b10_1110], V5).unwrap();
    assert_eq!(five.identifier, Some(9));
    let options = Options {
        qos: 2,
        no_local: true,
        retain_as_published: true,
        retained: WhenRetained::Never,
    };
    assert_eq!(five.filters, [("a".to_owned(), options)]);
    let share = [&[0, 1, 0, 0, 10][..], b"$share/g/a", &[0b100]].concat();
    for body in [
        &[0, 7, 2, 0x0b, 0, 0, 1, b'a', 0][..],
        &[0, 7, 0, 0, 1, b'a', 0b11_0000],
        &[0, 7, 0, 0, 1, b'a', 0x40],
        &share,
    ] {
        assert!(subscribe(body, V5).is_err(), "{body:?}");
    }
    assert_eq!(filters_in(&[0, 7, 2, 0x0b, 9, 0, 1, b'a', 0], 1, V5), 1);
    assert_eq!(filters_in(&[0, 7, 0, 1, b'a', 0, 0, 1, b'b', 0], 1, V4), 2);
    assert_eq!(unsubscribe(&[0, 7, 0, 1, b'a'], V4).unwrap().filters, ["a"]);
    assert_eq!(
        unsubscribe(&[0, 7, 0, 0, 1, b'a'], V5).unwrap().filters,
        ["a"]
    );
    for body in [&[][..], &[0, 1], &[0, 0, 0, 1, b'a'], &[0, 1, 0, 9, b'a']] {
        assert!(unsubscribe(body, V4).is_err(), "{body:?}");
    }
}

#[test]
fn a_goodbye_may_ask_for_the_will_and_change_the_session() {
    let read = |body: &[u8], version| {
        disconnect(body, version)
            .ok()
            .map(|found| (found.with_will, found.session_expiry))
    };
    assert_eq!(read(&[], V4), Some((false, None)));
    assert_eq!(read(&[0], V4), None);
    assert_eq!(read(&[], V5), Some((false, None)));
    assert_eq!(read(&[0], V5), Some((false, None)));
    assert_eq!(read(&[4, 0], V5), Some((true, None)));
    assert_eq!(read(&[0, 5, 0x11, 0, 0, 0, 9], V5), Some((false, Some(9))));
    assert_eq!(read(&[0, 3, 0x23, 0, 1], V5), None);
    assert_eq!(read(&[0x7f], V5), None);
    assert_eq!(read(&[0, 0, 0], V5), None);
}
