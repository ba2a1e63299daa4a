//! Devices that change what they publish, with a crash in the middle.

use super::*;

/// Payloads of one device that drifts: new metrics, other types, qualities, tags, units.
fn drifting(choices: &mut Choices, round: u64) -> Envelope {
    let asset = choices.next(3);
    let time = choices.next(400) as i64;
    let metric = format!("m{}", choices.next(2 + round / 6));
    let number = choices.next(1000);
    let value = match choices.next(6) {
        0 => format!("\"text {number}\""),
        1 => "true".to_owned(),
        2 => format!("{number}.25"),
        3 => "null".to_owned(),
        _ => number.to_string(),
    };
    match choices.next(5) {
        // Two metrics at once, the second of any type.
        0 => reading(
            &format!("P{asset}"),
            time,
            &format!("\"{metric}\":{value},\"n{number}\":\"x\",\"n\":{number}")
                .replace(&format!("n{number}"), &format!("n{}", number % 3)),
        ),
        // Many rows of several classes, tags among them.
        1 | 2 => {
            let nanos = |after: i64| (START + after) * 1_000_000;
            let tag = choices.next(3);
            let lines = format!(
                "line,host=P{asset},tag{tag}=t{tag} {metric}={number} {}\n\
                 line,host=P{asset} {metric}=\"w{tag}\" {}\n\
                 other,host=Q{asset},{metric}=x n={number}i {}\n",
                nanos(time),
                nanos(time + choices.next(3) as i64),
                nanos(time),
            );
            envelope("influx/plant", lines)
        }
        // Refused whole: the second line is no line.
        3 if choices.next(3) == 0 => envelope(
            "influx/plant",
            format!("line,host=P{asset} brandnew{number}=1\nline,host=P{asset} x=\n"),
        ),
        _ => {
            let quality = ["good", "uncertain", "bad"][choices.next(3) as usize];
            let payload = format!(
                "{{\"time\":{},\"q\":\"{quality}\",\"metrics\":{{\"{metric}\":{value}}}}}",
                START + time
            );
            envelope(&format!("judged/P{asset}"), payload)
        }
    }
}

fn drift_config() -> IngestConfig {
    let mut config = config();
    let judged = "topic = \"judged/{asset}\"\nclass = \"judged\"\nshared_assets = true\n\
                  json = { quality = \"/q\" }\n\
                  units = { m1 = { published = \"degF\", stored = \"degC\" } }";
    config.rules.push(toml::from_str(judged).unwrap());
    config.rules[0].shared_assets = true;
    config
}

#[tokio::test]
async fn replay_equals_live_while_the_schema_drifts() {
    for seed in 1..=4_u64 {
        let mut choices = Choices(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let folder = tempfile::tempdir().unwrap();
        let (ingest, mut feed) = start(&drift_config(), folder.path());
        tokio::spawn(async move { while feed.recv().await.is_some() {} });
        for round in 0..60 {
            let count = 1 + choices.next(5);
            let messages = (0..count).map(|_| drifting(&mut choices, round));
            let messages: Vec<Envelope> = messages.collect();
            put(&ingest, messages).await;
            if choices.next(10) == 0 {
                ingest.flush().await.unwrap();
            }
            if choices.next(12) == 0 || round == 59 {
                let copy = as_killed(folder.path());
                let (again, _feed) = start(&drift_config(), copy.path());
                assert_eq!(seen(&again), seen(&ingest), "seed {seed}, round {round}");
                let (was, is) = (ingest.snapshot(), again.snapshot());
                for (class, table) in &was.tables {
                    assert_eq!(is.tables[class].schema, table.schema, "seed {seed}");
                }
                assert_eq!(again.notices(), ingest.notices());
                let page = |of: &Ingest| of.quarantine().list(None, 1000).entries;
                assert_eq!(page(&again), page(&ingest), "seed {seed}, round {round}");
                // It goes on from there as the first does.
                let more = drifting(&mut Choices(seed + round), round);
                put(&again, vec![more]).await;
                again.shutdown().await.unwrap();
            }
        }
        let stats = ingest.stats();
        assert!(stats.mistyped_samples > 0 && !ingest.notices().is_empty());
        assert!(stats.accepted_rows > stats.accepted_messages);
        ingest.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn types_qualities_and_tags_are_stored_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(&drift_config(), folder.path());
    let judged = |after: i64, quality: &str, value: &str| {
        let payload = format!(
            "{{\"time\":{},\"q\":\"{quality}\",\"metrics\":{{\"m1\":{value}}}}}",
            START + after
        );
        envelope("judged/P1", payload)
    };
    put(
        &ingest,
        vec![
            judged(1, "good", "212"),
            judged(2, "bad", "null"),
            judged(3, "uncertain", "\"stuck\""),
            reading("P1", 1, "\"mode\":\"auto\""),
            reading("P1", 2, "\"mode\":7"),
        ],
    )
    .await;
    let expected = [
        "judged P1 1 m1 100",
        "judged P1 2 m1__quality bad",
        "judged P1 3 m1__quality uncertain",
        "judged P1 3 m1__text stuck",
        "pump P1 1 mode auto",
        "pump P1 2 mode__number 7",
    ];
    let told = [
        "\"m1\" of the class \"judged\" was also published as text",
        "\"mode\" of the class \"pump\" was also published as number",
    ];
    for flushed in [false, true] {
        assert_eq!(seen(&ingest), expected, "flushed: {flushed}");
        let notices = ingest.notices();
        assert_eq!(notices.len(), told.len());
        for (notice, told) in notices.iter().zip(told) {
            assert!(notice.to_string().starts_with(told), "{notice}");
        }
        let schema = ingest.snapshot().tables["judged"].schema.clone();
        assert_eq!(
            schema.field_with_name("m1").unwrap().metadata()["unit"],
            "degC"
        );
        ingest.flush().await.unwrap();
    }
    assert_eq!(ingest.stats().mistyped_samples, 2);
    ingest.shutdown().await.unwrap();
    assert_eq!(
        shown(&readings::of(&read_folder(folder.path()).unwrap())),
        expected
    );
}

#[tokio::test]
async fn one_wrong_clock_moves_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(&config(), folder.path());
    let ahead = 3_600_000 + 599_000;
    put(
        &ingest,
        vec![
            // Within the lead: taken. A day ahead: not. Thirty years behind: taken.
            reading("P1", ahead, "\"a\":1"),
            reading("P1", 86_400_000 + 3_600_000, "\"a\":2"),
            reading("P2", 1, "\"a\":3"),
            reading("P3", 631_152_000_000 - START, "\"a\":4"),
            reading("P2", 2, "\"a\":5"),
            // Behind its own clock, not behind anybody else's.
            reading("P1", 2, "\"a\":6"),
        ],
    )
    .await;
    let stats = ingest.stats();
    assert_eq!(stats.rejected["too_far_ahead"], 1);
    assert_eq!((stats.accepted_rows, stats.late_rows), (5, 1));
    assert_eq!(seen(&ingest).len(), 5);
}

#[tokio::test]
async fn a_sender_who_waits_gets_the_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(&config(), folder.path());
    let write = |lines: &str| {
        let topic = crate::MappingRule::write_topic(crate::config::TimeUnit::Ms, "plant");
        let envelope = envelope(&topic, lines.to_owned());
        let intake = ingest.intake();
        async move { within(intake.write(envelope)).await.unwrap() }
    };
    let line = format!("pump,asset=P1 a=1 {START}");
    write(&line).await.unwrap();
    assert_eq!(seen(&ingest), ["pump P1 0 a 1"]);
    let refusal = write("pump,asset=P1 a=").await.unwrap_err();
    assert_eq!(refusal.name(), "malformed");
    assert_eq!(ingest.stats().quarantine_entries, 0);
    let copy = as_killed(folder.path());
    let (again, _feed) = start(&config(), copy.path());
    assert_eq!(seen(&again), ["pump P1 0 a 1"]);
}
