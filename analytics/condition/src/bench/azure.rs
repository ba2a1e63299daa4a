//! Azure predictive maintenance, event tables: which component of which machine fails within the
//! horizon. Models know the machines of `--train`; a machine that is among them is judged by a
//! model without its part of them, so that none is fitted on itself.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use chrono::NaiveDateTime;

use super::orders::{Candidate, Desk};
use super::{BenchError, Done, Places, Table, files_below, read_table, stem, write};
use crate::prognosis::events::{EventError, EventModel, EventSettings, History, Warning};
use crate::settings::Severity;

/// Machines by number.
type Machines = BTreeMap<u64, History>;

/// Names of the errors and of the components, sorted, as they are numbered.
#[derive(Debug, Default)]
struct Names {
    errors: Vec<String>,
    components: Vec<String>,
    models: Vec<String>,
}

/// Writes `alerts.csv`: `machineID,datetime,comp`.
///
/// **Errors** when tables are missing or wrong, or nothing can be learned from them.
pub fn run(places: &Places, desk: &mut dyn Desk) -> Result<Done, BenchError> {
    run_with(&EventSettings::shipped(), places, desk)
}

fn run_with(
    settings: &EventSettings,
    places: &Places,
    desk: &mut dyn Desk,
) -> Result<Done, BenchError> {
    let fit_folder = places.train.as_ref().unwrap_or(&places.data);
    let names = Names::of(fit_folder)?;
    let known = machines(fit_folder, &names, true)?;
    let fitted = |part: Option<usize>| -> Result<EventModel, BenchError> {
        let folds = settings.folds.max(2);
        let numbered = known.values().enumerate();
        let others = numbered.filter(|(at, _)| part != Some(at % folds));
        let others: Vec<&History> = others.map(|(_, machine)| machine).collect();
        let kinds = (names.errors.len(), names.components.len());
        let model = settings.fit(&others, kinds, end(&known));
        model.map_err(|error: EventError| BenchError::Content {
            path: fit_folder.clone(),
            reason: error.to_string(),
        })
    };
    let mut models: BTreeMap<Option<usize>, EventModel> = BTreeMap::new();
    let mut text = String::from("machineID,datetime,comp\n");
    let mut done = Done::default();
    for (number, machine) in machines(&places.data, &names, false)? {
        let part = known.keys().position(|other| *other == number);
        let part = part.map(|at| at % settings.folds.max(2));
        let model = match models.entry(part) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(fitted(part)?),
        };
        let orders = model.orders(&machine);
        for order in &orders {
            let component = &names.components[order.component];
            text += &format!("{number},{},{component}\n", shown(order.at));
            done.rows += 1;
        }
        tell(desk, number, &names, (model, &orders), settings);
    }
    write(&places.out.join("alerts.csv"), &text)?;
    done.files = 1;
    Ok(done)
}

/// Tells the desk: a condition is over when its horizon has passed.
fn tell(
    desk: &mut dyn Desk,
    number: u64,
    names: &Names,
    (model, orders): (&EventModel, &[Warning]),
    settings: &EventSettings,
) {
    let asset = format!("machine-{number}");
    let mut open: BTreeMap<usize, i64> = BTreeMap::new();
    for order in orders {
        let horizon = settings.horizon.micros();
        open.retain(|component, since| {
            let lasts = order.at - *since < horizon;
            if !lasts {
                desk.over(&asset, &names.components[*component]);
            }
            lasts
        });
        open.insert(order.component, order.at);
        desk.up(&Candidate {
            asset: asset.clone(),
            time: shown(order.at),
            at: order.at,
            cause: names.components[order.component].clone(),
            severity: Severity::High,
            ratio: order.probability / model.limit,
            persistence: 0,
            agreeing: 1,
            watching: 1,
            failure: Some(order.probability),
        });
    }
}

impl Names {
    /// The names that a folder to learn from has.
    fn of(folder: &Path) -> Result<Self, BenchError> {
        let distinct = |name: &str, column: &str| -> Result<Vec<String>, BenchError> {
            let (path, table) = table(folder, name)?;
            let at = place(&path, &table, column)?;
            let mut found: Vec<String> = table.rows.iter().map(|row| row[at].clone()).collect();
            found.sort();
            found.dedup();
            Ok(found)
        };
        Ok(Self {
            errors: distinct("errors", "errorID")?,
            components: distinct("failures", "failure")?,
            models: distinct("machines", "model")?,
        })
    }
}

/// The machines of a folder; their failures are read to learn from alone.
fn machines(folder: &Path, names: &Names, to_learn: bool) -> Result<Machines, BenchError> {
    let mut machines = Machines::new();
    let (path, traits) = table(folder, "machines")?;
    let model = place(&path, &traits, "model")?;
    let age = place(&path, &traits, "age")?;
    for (number, row) in numbered(&path, &traits)? {
        let model = names.models.iter().position(|name| *name == row[model]);
        let machine: &mut History = machines.entry(number).or_default();
        machine.traits = vec![
            model.map_or(f64::NAN, |at| at as f64),
            row[age].parse().unwrap_or(f64::NAN),
        ];
    }
    type List = fn(&mut History) -> &mut Vec<(i64, usize)>;
    let lists: [(&str, &str, &[String], List); 3] = [
        ("errors", "errorID", &names.errors, |of| &mut of.errors),
        ("maint", "comp", &names.components, |of| &mut of.replaced),
        ("failures", "failure", &names.components, |of| {
            &mut of.failed
        }),
    ];
    for (name, column, kinds, list) in lists {
        if name == "failures" && !to_learn {
            continue;
        }
        let (path, table) = table(folder, name)?;
        let kind = place(&path, &table, column)?;
        let time = place(&path, &table, "datetime")?;
        for (number, row) in numbered(&path, &table)? {
            let machine = machines.get_mut(&number);
            let kind = kinds.iter().position(|known| *known == row[kind]);
            // A machine or a kind that nothing is known of says nothing.
            if let (Some(machine), Some(kind)) = (machine, kind) {
                list(machine).push((instant(&path, &row[time])?, kind));
            }
        }
    }
    for machine in machines.values_mut() {
        machine.errors.sort_unstable();
        machine.replaced.sort_unstable();
        machine.failed.sort_unstable();
    }
    Ok(machines)
}

/// The last instant of the records.
fn end(machines: &Machines) -> i64 {
    let lists = machines
        .values()
        .flat_map(|of| [&of.errors, &of.replaced, &of.failed]);
    lists.flatten().map(|(at, _)| *at).max().unwrap_or(0)
}

/// The table whose file name has `name` in it.
fn table(folder: &Path, name: &str) -> Result<(PathBuf, Table), BenchError> {
    let wanted = |path: &Path| {
        let is_table = path.to_string_lossy().contains(".csv");
        is_table && stem(path).to_lowercase().contains(name)
    };
    let found = files_below(folder, wanted)?.into_iter().next();
    let path = found.ok_or_else(|| BenchError::Nothing {
        set: "azure",
        folder: folder.to_owned(),
    })?;
    let table = read_table(&path, b',')?;
    let width = table.header.len();
    if let Some(short) = table.rows.iter().position(|row| row.len() < width) {
        return Err(wrong(&path, format!("row {} is too short", short + 1)));
    }
    Ok((path, table))
}

fn place(path: &Path, table: &Table, column: &str) -> Result<usize, BenchError> {
    let at = table.header.iter().position(|name| name == column);
    at.ok_or_else(|| wrong(path, format!("there is no column {column}")))
}

/// The rows with the numbers of their machines.
fn numbered<'a>(path: &Path, table: &'a Table) -> Result<Vec<(u64, &'a Vec<String>)>, BenchError> {
    let machine = place(path, table, "machineID")?;
    let number = |row: &'a Vec<String>| match row[machine].parse() {
        Ok(number) => Ok((number, row)),
        Err(_) => Err(wrong(path, format!("{} is no machine", row[machine]))),
    };
    table.rows.iter().map(number).collect()
}

fn instant(path: &Path, text: &str) -> Result<i64, BenchError> {
    let parsed = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S");
    let parsed = parsed.map_err(|_| wrong(path, format!("{text} is no time")))?;
    Ok(parsed.and_utc().timestamp_micros())
}

fn shown(at: i64) -> String {
    let at = chrono::DateTime::from_timestamp_micros(at).unwrap_or_default();
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn wrong(path: &Path, reason: String) -> BenchError {
    BenchError::Content {
        path: path.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::orders::NoDesk;
    use super::*;

    /// Writes the tables of some machines until a day: an error of kind 1 at six in the morning
    /// comes a day before component 1 fails; other errors mean nothing.
    fn tables(folder: &Path, machines: std::ops::Range<u64>, days: i64) {
        let mut errors = String::from("datetime,machineID,errorID\n");
        let mut failures = String::from("datetime,machineID,failure\n");
        let mut maint = String::from("datetime,machineID,comp\n");
        let mut list = String::from("machineID,model,age\n");
        let at = |day: i64, hour: i64| shown((day * 24 + hour) * 3_600_000_000);
        for machine in machines {
            list += &format!("{machine},model{},{}\n", machine % 3, machine % 20);
            let first = i64::try_from(machine % 7).unwrap();
            for day in (first..days - 8).step_by(12) {
                errors += &format!("{},{machine},error1\n", at(day, 6));
                errors += &format!("{},{machine},error1\n", at(day + 4, 9 + first));
                errors += &format!("{},{machine},error2\n", at(day + 7, 6));
                failures += &format!("{},{machine},comp1\n", at(day + 1, 6));
                maint += &format!("{},{machine},comp1\n", at(day + 1, 6));
                maint += &format!("{},{machine},comp2\n", at(day + 3, 6));
            }
        }
        // A second component, so that there is something to confuse.
        failures += &format!("{},1,comp2\n", at(2, 6));
        let files = [
            ("errors", errors),
            ("failures", failures),
            ("maint", maint),
            ("machines", list),
        ];
        for (name, text) in files {
            write(&folder.join(format!("PdM_{name}.csv")), &text).unwrap();
        }
    }

    #[test]
    fn machines_are_judged_by_others_and_nothing_later_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        tables(&at("known"), 1..13, 200);
        tables(&at("new"), 20..22, 200);
        tables(&at("cut"), 1..13, 100);
        // Failures of the machines to be judged are never read.
        fs::remove_file(at("new/PdM_failures.csv")).unwrap();
        let mut settings = EventSettings::shipped();
        settings.folds = 3;
        settings.members = 1;
        settings.trees = settings.trees.trees(50);
        let judge = |data: &str, out: &str| {
            let places = Places {
                data: at(data),
                train: Some(at("known")),
                out: at(out),
            };
            run_with(&settings, &places, &mut NoDesk).unwrap();
            let text = fs::read_to_string(at(out).join("alerts.csv")).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<String>>()
        };
        let new = judge("new", "a");
        let right = new.iter().filter(|row| row.ends_with("06:00:00,comp1"));
        assert!(right.count() >= 30, "{new:?}");
        assert!(new.len() <= 36, "{new:?}");
        let (whole, cut) = (judge("known", "b"), judge("cut", "c"));
        assert!(cut.len() > 60 && cut.iter().all(|row| whole.contains(row)));
    }
}
