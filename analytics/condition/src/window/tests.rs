use super::*;

/// Readings of one metric as (second, value) and the windows they close as
/// `start..end rows mean`, in seconds.
#[track_caller]
fn check(step: i64, steps: usize, readings: &[(i64, f64)], expected: &[&str]) {
    let mut windows = Windows::new(step * 1_000_000, steps, i64::MIN + 1);
    let mut closed = Vec::new();
    for (second, value) in readings {
        windows.add(
            second * 1_000_000,
            1,
            |_| *value,
            |window| closed.push(window),
        );
    }
    let shown: Vec<String> = closed
        .iter()
        .map(|w| {
            let (start, end) = (w.start / 1_000_000, w.end / 1_000_000);
            format!("{start}..{end} {} {}", w.rows, w.metrics[0].mean)
        })
        .collect();
    assert_eq!(shown, expected);
}

#[test]
fn a_window_closes_with_the_first_reading_after_it() {
    check(10, 1, &[(0, 1.0), (5, 3.0)], &[]);
    check(10, 1, &[(0, 1.0), (5, 3.0), (10, 9.0)], &["0..10 2 2"]);
}

#[test]
fn windows_overlap_when_the_step_is_shorter() {
    check(
        10,
        2,
        &[(0, 1.0), (10, 3.0), (20, 5.0), (30, 7.0)],
        &["0..20 2 2", "10..30 2 4"],
    );
}

#[test]
fn late_and_repeated_readings_change_nothing() {
    check(
        10,
        1,
        &[
            (0, 1.0),
            (5, 3.0),
            (5, 100.0),
            (3, 100.0),
            (10, 9.0),
            (4, 100.0),
            (20, 1.0),
        ],
        &["0..10 2 2", "10..20 1 9"],
    );
}

#[test]
fn a_gap_makes_no_windows_of_nothing() {
    check(
        10,
        1,
        &[(0, 1.0), (1_000_000_000, 3.0), (1_000_000_010, 3.0)],
        &["0..10 1 1", "1000000000..1000000010 1 3"],
    );
    // Inside a gap that is shorter than the window, what is left of it is still shown.
    check(
        10,
        3,
        &[(0, 1.0), (10, 1.0), (40, 5.0), (50, 5.0)],
        &["0..30 2 1", "10..40 1 1", "20..50 1 5"],
    );
}

#[test]
fn missing_values_are_not_zeros() {
    check(10, 1, &[(0, 4.0), (5, f64::NAN), (10, 1.0)], &["0..10 2 4"]);
    check(10, 1, &[(0, f64::NAN), (10, 1.0)], &["0..10 1 NaN"]);
}

#[test]
fn times_before_1970_are_aligned_too() {
    check(
        10,
        1,
        &[(-15, 1.0), (-5, 2.0), (5, 3.0)],
        &["-20..-10 1 1", "-10..0 1 2"],
    );
}

#[test]
fn a_stuck_sensor_is_flat_and_a_large_level_keeps_its_digits() {
    let mut windows = Windows::new(10, 1, 0);
    let mut closed = Vec::new();
    for time in 0..11 {
        let values = [1e9 + f64::from(time as i32 % 2) * 1e-3, 7.25];
        windows.add(
            time,
            2,
            |metric| values[metric],
            |window| closed.push(window),
        );
    }
    let [lively, stuck] = closed[0].metrics[..] else {
        panic!("two metrics")
    };
    assert!(!lively.flat && stuck.flat);
    assert!(
        (lively.deviation - 0.000_527).abs() < 1e-6,
        "{}",
        lively.deviation
    );
    assert_eq!((stuck.mean, stuck.deviation), (7.25, 0.0));
}

#[test]
fn readings_before_the_start_are_left_out() {
    let mut windows = Windows::new(10, 1, 100);
    windows.add(99, 1, |_| 1.0, |_| panic!("no window"));
    assert_eq!(windows.newest(), 99);
    windows.add(100, 1, |_| 1.0, |_| panic!("no window"));
    assert_eq!(windows.newest(), 100);
}

#[test]
fn one_reading_or_many_in_a_pane_sum_up_alike() {
    // A metric that comes later, values that are missing, and a window of a lone reading.
    let readings = [
        (0, vec![5.0]),
        (1, vec![f64::NAN, 3.0]),
        (2, vec![7.0, 3.0]),
        (10, vec![6.0, f64::NAN]),
        (20, vec![6.0, 4.0]),
    ];
    let mut windows = Windows::new(10, 2, 0);
    let mut closed = Vec::new();
    for (time, values) in &readings {
        let value = |metric: usize| values[metric];
        windows.add(*time, values.len(), value, |window| closed.push(window));
    }
    let [window] = &closed[..] else {
        panic!("two panes are one window")
    };
    let seen = |count, mean, deviation, flat| Seen {
        count,
        mean,
        deviation,
        flat,
    };
    let expected = [seen(3, 6.0, 1.0, false), seen(2, 3.0, 0.0, true)];
    assert_eq!((window.rows, &window.metrics[..]), (4, &expected[..]));
    // What the next window does not need is not kept: one pane, and the open one's reading.
    assert_eq!(windows.closed.len(), 1);
    assert_eq!(windows.open.as_ref().map(|(_, pane)| pane.rows), Some(1));
}

#[test]
fn a_window_of_one_pane_keeps_none() {
    let mut windows = Windows::new(10, 1, 0);
    let mut closed = 0;
    for time in 0..100 {
        windows.add(time, 10, |_| time as f64, |_| closed += 1);
    }
    assert_eq!(closed, 9);
    assert_eq!(windows.closed.capacity(), 0);
    assert_eq!(windows.heap_bytes(), 10 * (32 + 8));
}

#[test]
fn parts_of_the_newest_reading_make_the_window_of_the_whole() {
    use crate::settings::FeatureKind;
    let features = [FeatureKind::Max, FeatureKind::Slope, FeatureKind::Rms];
    let cut = |parts: bool| {
        let mut windows = Windows::new(10, 1, i64::MIN + 1).measured_for(&features);
        let mut closed = Vec::new();
        for time in [0, 3, 7, 9, 12, 15, 17, 21] {
            let whole = |metric: usize| (time * 7 % 5) as f64 + metric as f64;
            // The seventieth metric is known from the third reading on.
            let metrics = if time < 7 { 2 } else { 70 };
            let close = |window| closed.push(window);
            if !parts {
                windows.add(time, metrics, whole, close);
                continue;
            }
            let only = |own: usize| move |metric| if metric == own { whole(own) } else { f64::NAN };
            windows.add(time, 1, only(0), close);
            for metric in 1..metrics {
                assert!(windows.join(time, metric + 1, only(metric)));
            }
            // What it has stays, and no other instant is its.
            assert!(!windows.join(time, metrics, |_| 99.0));
            assert!(!windows.join(time - 1, metrics, only(0)));
            assert!(!windows.join(time + 1, metrics, only(0)));
        }
        closed
    };
    let [whole, parts] = [cut(false), cut(true)];
    assert_eq!(whole.len(), 2);
    assert_eq!(format!("{whole:?}"), format!("{parts:?}"));
}
