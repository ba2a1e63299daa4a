//! The text that Prometheus reads, version 0.0.4.

use std::fmt::Write as _;

/// How a metric moves.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A growing text of metrics.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// One metric: its name, its sentence, and its samples as (labels, value).
    pub fn metric<'a>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<(&'a str, String)>, f64)>,
    ) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let labels: Vec<String> = labels
                .iter()
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            let braces = match labels.is_empty() {
                true => String::new(),
                false => format!("{{{}}}", labels.join(",")),
            };
            let _ = writeln!(self.0, "{name}{braces} {value}");
        }
    }

    /// One metric without labels.
    pub fn single(&mut self, kind: Kind, name: &str, help: &str, value: f64) {
        self.metric(kind, name, help, [(Vec::new(), value)]);
    }

    /// The text so far, for writers of other kinds.
    pub fn text(&mut self) -> &mut String {
        &mut self.0
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.0
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_written_as_prometheus_reads_them() {
        let mut text = Exposition::default();
        text.single(Kind::Gauge, "a_seconds", "A lag.", 0.25);
        text.metric(
            Kind::Counter,
            "b_total",
            "Refusals.",
            [(vec![("reason", "a \"b\"\\".to_owned())], 3.0)],
        );
        assert_eq!(
            text.finish(),
            "# HELP a_seconds A lag.\n# TYPE a_seconds gauge\na_seconds 0.25\n\
             # HELP b_total Refusals.\n# TYPE b_total counter\nb_total{reason=\"a \\\"b\\\"\\\\\"} 3\n"
        );
    }
}
