//! `fieldwright detect bench`: public data sets through the code that `serve` runs.

mod desk;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fieldwright_condition::bench::{BenchError, Places, run};
use fieldwright_condition::settings::Kinds;
use fieldwright_ingest::clock::process_now;
use serde_json::json;

use self::desk::OrdersDesk;
use crate::cli::{Failure, Output};

/// Run a public data set through the detectors and forecasts that `serve` runs, with the shipped
/// settings, and write predictions in its scorer's format.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    fieldwright detect bench skab --data ../shared/data/skab --out /tmp/skab\n  \
    fieldwright detect bench azure --data AZURE --train AZURE_LEARNING --out /tmp/azure --output json\n\n\
    Labels are never read. Every set also gets orders.csv: the planned inspections and dispatches\n\
    that the alarm policy would have sent.")]
pub struct Bench {
    /// Which data set.
    #[arg(value_enum)]
    set: Set,
    /// Folder of the data set, laid out as published.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder of the same layout with what is learned from, where that is not in `--data`.
    #[arg(long, value_name = "DIR")]
    train: Option<PathBuf>,
    /// Folder for the predictions; it is made when it is missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// The data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Set {
    /// Skoltech water rig: flags and change points.
    Skab,
    /// Numenta: single metrics.
    Nab,
    /// NASA turbofans: remaining useful life.
    Cmapss,
    /// Tennessee Eastman: a controlled process.
    Tep,
    /// Drinking water quality.
    Gecco,
    /// NASA spacecraft channels.
    Smap,
    /// PRONOSTIA bearings: remaining useful life.
    Femto,
    /// Azure sample: failures of components from events.
    Azure,
    /// Electricity transformers: ordinary seasons, which ought to be quiet.
    Ett,
}

impl Set {
    fn name(self) -> &'static str {
        match self {
            Self::Skab => "skab",
            Self::Nab => "nab",
            Self::Cmapss => "cmapss",
            Self::Tep => "tep",
            Self::Gecco => "gecco",
            Self::Smap => "smap",
            Self::Femto => "femto",
            Self::Azure => "azure",
            Self::Ett => "ett",
        }
    }
}

impl Bench {
    /// The folder that is read and in which predictions would be written, if they would.
    fn written_over(&self) -> Option<&PathBuf> {
        // What does not exist yet lies where its nearest parent does.
        let mut out = std::path::absolute(&self.out).ok()?;
        let mut rest = Vec::new();
        let place = loop {
            if let Ok(place) = out.canonicalize() {
                break place;
            }
            rest.push(out.file_name()?.to_owned());
            out = out.parent()?.to_owned();
        };
        let place = rest
            .iter()
            .rev()
            .fold(place, |place, name| place.join(name));
        let read = [Some(&self.data), self.train.as_ref()]
            .into_iter()
            .flatten();
        let mut read = read.filter(|folder| folder.is_dir());
        read.find(|folder| {
            let folder = folder.canonicalize();
            folder.is_ok_and(|folder| place.starts_with(folder))
        })
    }

    /// Runs the set.
    pub fn run(self, output: Output) -> Result<(), Failure> {
        for folder in [Some(&self.data), self.train.as_ref()]
            .into_iter()
            .flatten()
        {
            if !folder.is_dir() {
                let shown = folder.display();
                return Err(Failure::NotFound(format!("{shown} is no folder")));
            }
        }
        if let Some(read) = self.written_over() {
            return Err(Failure::Usage(format!(
                "--out {} lies in {}, which is read: give another folder",
                self.out.display(),
                read.display()
            )));
        }
        let set = self.set.name();
        let places = Places {
            data: self.data,
            train: self.train,
            out: self.out,
        };
        eprintln!("{set}: learning and judging {}", places.data.display());
        let begun = process_now();
        let mut desk = OrdersDesk::new(set);
        let done =
            run(set, &places, &Kinds::shipped(), &mut desk).map_err(|error| match error {
                BenchError::Nothing { .. } => Failure::NotFound(error.to_string()),
                other => Failure::failed(other),
            })?;
        let orders = desk.write(&places.out).map_err(Failure::failed)?;
        let seconds = begun.elapsed().as_secs_f64();
        output.line(
            format!(
                "{set}: {} rows of predictions in {} files, {orders} orders, {seconds:.1} s; in {}",
                done.rows,
                done.files,
                places.out.display()
            ),
            &json!({
                "set": set,
                "files": done.files,
                "rows": done.rows,
                "orders": orders,
                "seconds": seconds,
                "out": places.out.display().to_string(),
            }),
        );
        Ok(())
    }
}
