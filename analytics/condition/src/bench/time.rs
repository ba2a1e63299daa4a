//! Event times of rows: what stands there, and the minute after the last one where nothing does.

use chrono::NaiveDateTime;

/// A minute. **Units**: microseconds.
const MINUTE: i64 = 60_000_000;

/// The event times of a file's rows, one after the other.
#[derive(Debug, Default)]
pub(super) struct Times {
    last: Option<i64>,
}

impl Times {
    /// The time of the next row. **Units**: microseconds since 1970.
    pub(super) fn next(&mut self, written: Option<&str>) -> i64 {
        let read = written.and_then(parse);
        let time = read.unwrap_or_else(|| self.last.map_or(0, |last| last + MINUTE));
        self.last = Some(time);
        time
    }
}

fn parse(text: &str) -> Option<i64> {
    let forms = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];
    let read = |form: &&str| NaiveDateTime::parse_from_str(text, form).ok();
    let at = forms.iter().find_map(read)?;
    Some(at.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_a_time_is_a_minute_after_the_last() {
        let mut times = Times::default();
        let rows = [Some("1970-01-01 00:00:10"), None, Some("later"), None];
        let found: Vec<i64> = rows.map(|row| times.next(row) / 1_000_000).into();
        assert_eq!(found, [10, 70, 130, 190]);
        assert_eq!(Times::default().next(None), 0);
    }
}
