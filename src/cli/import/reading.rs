//! From the cells of a row to what is stored, or to what is wrong with it.

use fieldwright_ingest::validate;

use super::cells::{Cell, FileError, Line, Rows};
use super::map::ImportMap;

/// A value to be stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Text(String),
}

/// The quality of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Good,
    Uncertain,
    Bad,
}

/// A row that can be stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub asset: String,
    /// **Units** microseconds since 1970.
    pub time: i64,
    pub metrics: Vec<(String, Value)>,
    pub trust: Trust,
}

/// A row of the file.
#[derive(Debug)]
pub(super) struct Row {
    /// Where it stands, for people.
    pub line: u64,
    /// None for a row without any value; else the sample, or what is wrong.
    pub said: Result<Option<Sample>, String>,
}

/// Reads a file by a map.
pub(super) struct Reader<'m> {
    rows: Rows,
    map: &'m ImportMap,
    time: usize,
    asset: Option<usize>,
    quality: Option<usize>,
    long: Option<(usize, usize)>,
    /// Wide: column and metric.
    metrics: Vec<(usize, String)>,
}

impl<'m> Reader<'m> {
    /// Finds the columns that the map names.
    ///
    /// **Errors**: one of them is not there, or a column is no metric; a sentence.
    pub(super) fn new(rows: Rows, map: &'m ImportMap) -> Result<Self, String> {
        let find = |name: &String| {
            let place = rows.columns().iter().position(|column| column == name);
            place.ok_or_else(|| {
                format!(
                    "the file has no column \"{name}\"; it has {}",
                    rows.columns().join(", ")
                )
            })
        };
        let time = find(&map.time.column)?;
        let asset = map.asset_column.as_ref().map(find).transpose()?;
        let quality = map.quality.as_ref();
        let quality = quality.map(|quality| find(&quality.column)).transpose()?;
        let long = map.long.as_ref();
        let long = long
            .map(|long| Ok::<_, String>((find(&long.metric)?, find(&long.value)?)))
            .transpose()?;
        for column in &map.ignore {
            find(column)?;
        }
        let mut metrics = Vec::new();
        if long.is_none() && !map.metrics.is_empty() {
            for (column, metric) in &map.metrics {
                metrics.push((find(column)?, metric.clone()));
            }
        } else if long.is_none() {
            let taken = [Some(time), asset, quality];
            for (place, column) in rows.columns().iter().enumerate() {
                if taken.contains(&Some(place)) || map.ignore.contains(column) {
                    continue;
                }
                validate::metric_name(column).map_err(|refusal| {
                    format!("the column \"{column}\" is no metric: {refusal}; name it under [metrics] or ignore it")
                })?;
                metrics.push((place, column.clone()));
            }
        }
        if long.is_none() && metrics.is_empty() {
            return Err("the file has no column left for a metric".into());
        }
        Ok(Self {
            rows,
            map,
            time,
            asset,
            quality,
            long,
            metrics,
        })
    }

    /// The next row; none at the end.
    ///
    /// **Errors**: the file cannot be read on.
    pub(super) fn next_row(&mut self) -> Result<Option<Row>, FileError> {
        let Some(line) = self.rows.next_line()? else {
            return Ok(None);
        };
        Ok(Some(Row {
            line: line.number,
            said: self.sample(&line),
        }))
    }

    fn sample(&self, line: &Line) -> Result<Option<Sample>, String> {
        let cell = |place: usize| line.cells.get(place).unwrap_or(&Cell::Null);
        if line.cells.len() > self.rows.columns().len() {
            return Err(format!(
                "it has {} cells, the file has {} columns",
                line.cells.len(),
                self.rows.columns().len()
            ));
        }
        let time = self.time(cell(self.time))?;
        let asset = match self.asset {
            Some(place) => self.text(cell(place)).unwrap_or_default(),
            None => self.map.asset.clone().unwrap_or_default(),
        };
        validate::asset_tag(&asset).map_err(|refusal| refusal.to_string())?;
        let trust = self.trust(self.quality.map(cell));
        let mut metrics = Vec::new();
        match self.long {
            Some((metric, value)) => {
                let name = self.text(cell(metric)).unwrap_or_default();
                if !self.map.ignore.contains(&name) {
                    validate::metric_name(&name).map_err(|refusal| refusal.to_string())?;
                    metrics.extend(self.value(&name, cell(value))?.map(|value| (name, value)));
                }
            }
            None => {
                for (place, name) in &self.metrics {
                    let value = self.value(name, cell(*place))?;
                    metrics.extend(value.map(|value| (name.clone(), value)));
                }
            }
        }
        Ok((!metrics.is_empty()).then_some(Sample {
            asset,
            time,
            metrics,
            trust,
        }))
    }

    fn time(&self, cell: &Cell) -> Result<i64, String> {
        let micros = match cell {
            Cell::Null => return Err("it has no time".into()),
            Cell::Text(text) => self.map.time.of_text(text)?,
            Cell::Number(count) => self.map.time.of_number(*count)?,
            Cell::Whole(count) => self.map.time.of_whole(*count)?,
            Cell::Instant(micros) => *micros,
            Cell::Wall(micros) => {
                let wall = chrono::DateTime::from_timestamp_micros(*micros);
                let wall = wall.ok_or_else(|| "its time is no instant".to_owned())?;
                self.map.time.of_naive(wall.naive_utc())?
            }
            Cell::Other(kind) => return Err(format!("its time is of the type {kind}")),
        };
        // Whether it lies in the future is for the service to say, on its own clock.
        validate::event_time(micros, i64::MAX, 0).map_err(|refusal| refusal.to_string())?;
        Ok(micros)
    }

    /// A cell as text; none for one that means no value.
    fn text(&self, cell: &Cell) -> Option<String> {
        match cell {
            Cell::Null | Cell::Other(_) => None,
            Cell::Text(text) => {
                let text = text.trim();
                (!self.map.null.contains(text)).then(|| text.to_owned())
            }
            Cell::Number(number) => Some(number.to_string()),
            Cell::Whole(number) => Some(number.to_string()),
            Cell::Instant(micros) | Cell::Wall(micros) => Some(micros.to_string()),
        }
    }

    fn value(&self, name: &str, cell: &Cell) -> Result<Option<Value>, String> {
        let number = match cell {
            Cell::Null => return Ok(None),
            Cell::Number(number) if number.is_nan() => return Ok(None),
            Cell::Number(number) => *number,
            Cell::Whole(number) => *number as f64,
            Cell::Text(text) => {
                let text = text.trim();
                if self.map.null.contains(text) {
                    return Ok(None);
                }
                match self.number(text) {
                    Some(number) => number,
                    None => return Ok(Some(Value::Text(text.to_owned()))),
                }
            }
            Cell::Instant(micros) | Cell::Wall(micros) => {
                let time = chrono::DateTime::from_timestamp_micros(*micros);
                let text = time.map(|time| time.to_rfc3339()).unwrap_or_default();
                return Ok(Some(Value::Text(text)));
            }
            Cell::Other(kind) => return Err(format!("\"{name}\" is of the type {kind}")),
        };
        let number = self.map.converted(name, number);
        if number.is_finite() {
            Ok(Some(Value::Number(number)))
        } else {
            Err(format!("\"{name}\" is not finite"))
        }
    }

    fn number(&self, text: &str) -> Option<f64> {
        // Words that the parser would take for numbers are texts.
        let first = text.bytes().next()?;
        if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.' | b',')) {
            return None;
        }
        if self.map.decimal_comma {
            return in_thousands(text)
                .then(|| text.replace('.', "").replace(',', ".").parse().ok())
                .flatten();
        }
        text.parse().ok()
    }

    fn trust(&self, cell: Option<&Cell>) -> Trust {
        let (Some(cell), Some(words)) = (cell, &self.map.quality) else {
            return Trust::Good;
        };
        let word = match cell {
            Cell::Text(text) => text.trim().to_owned(),
            other => self.text(other).unwrap_or_default(),
        };
        if words.good.contains(&word) {
            Trust::Good
        } else if words.uncertain.contains(&word) {
            Trust::Uncertain
        } else {
            Trust::Bad
        }
    }
}

/// Whether the points of a number with a decimal comma part thousands; `12.05.2026` is a date.
fn in_thousands(text: &str) -> bool {
    let whole = text.split_once(',').map_or(text, |(whole, _)| whole);
    let digits = whole.trim_start_matches(['+', '-']);
    let mut groups = digits.split('.');
    let first = groups.next().unwrap_or_default();
    let mut more = groups.peekable();
    more.peek().is_none() || ((1..=3).contains(&first.len()) && more.all(|group| group.len() == 3))
}
