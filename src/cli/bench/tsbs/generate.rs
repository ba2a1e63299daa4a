//! Data like that of the suite's generator, from the description of it: not the same rows, but the
//! same shapes, ranges and faults of order.
//!
//! Trucks walk at random: position by 0.005 degrees, five decimals; elevation, speed, heading and
//! grade in whole numbers; fuel in tenths. Batches of 10 rows; 1 % of batches are missing and 5 %
//! delayed; of rows 10 % are missing, 30 % delayed, 10 % lack a field and 1 % a tag.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::rows::{Row, TABLES, Table};

/// 2016-01-01T00:00:00Z.
const START: i64 = 1_451_606_400_000_000_000;
/// Between two rows of a truck.
const STEP: i64 = 10_000_000_000;
const STEPS_PER_HOUR: usize = 360;
const BATCH: usize = 10;

const FLEETS: [&str; 4] = ["East", "West", "North", "South"];
const DRIVERS: [&str; 6] = ["Albert", "Andy", "Derek", "Rodney", "Seth", "Trish"];
/// Model, load capacity, fuel capacity, nominal consumption.
const MODELS: [(&str, f64, f64, f64); 3] = [
    ("F-150", 2000.0, 200.0, 15.0),
    ("G-2000", 5000.0, 300.0, 19.0),
    ("H-2", 1500.0, 150.0, 12.0),
];
const VERSIONS: [&str; 4] = ["v1.0", "v1.5", "v2.0", "v2.3"];

/// How much data is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) trucks: usize,
    pub(super) hours: usize,
    pub(super) seed: u64,
}

/// One seed, one data set.
struct Random(ChaCha8Rng);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0.random::<f64>()
    }

    fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }
}

struct Truck {
    name: Box<str>,
    texts: [&'static str; 4],
    capacities: [f64; 3],
    /// Fields of each table, in their order.
    walks: [Vec<Walk>; 2],
}

/// A number that moves by chance between bounds.
struct Walk {
    value: f64,
    step: f64,
    least: f64,
    most: f64,
    decimals: i32,
}

impl Walk {
    fn new(random: &mut Random, (step, least, most, decimals): (f64, f64, f64, i32)) -> Self {
        let mut walk = Self {
            value: 0.0,
            step,
            least,
            most,
            decimals,
        };
        walk.set(least + random.unit() * (most - least));
        walk
    }

    fn set(&mut self, value: f64) {
        let scale = 10_f64.powi(self.decimals);
        self.value = (value.clamp(self.least, self.most) * scale).round() / scale;
    }

    fn next(&mut self, random: &mut Random) -> f64 {
        let value = self.value + (random.unit() * 2.0 - 1.0) * self.step;
        self.set(value);
        self.value
    }
}

/// The two tables in the order of arrival.
pub(super) fn tables(plan: &Plan) -> Vec<Table> {
    let mut random = Random(ChaCha8Rng::seed_from_u64(plan.seed));
    let mut trucks: Vec<Truck> = (0..plan.trucks)
        .map(|at| Truck::new(at, &mut random))
        .collect();
    let tables = TABLES.iter().enumerate().map(|(at, (name, fields))| {
        let mut rows = Vec::new();
        for step in 0..plan.hours * STEPS_PER_HOUR {
            let time = START + step as i64 * STEP;
            for truck in &mut trucks {
                rows.push(truck.row(at, time, &mut random));
            }
        }
        Table {
            name,
            fields,
            rows: arrive(rows, &mut random),
        }
    });
    tables.collect()
}

impl Truck {
    fn new(at: usize, random: &mut Random) -> Self {
        let fleet = FLEETS[random.below(FLEETS.len())];
        let driver = DRIVERS[random.below(DRIVERS.len())];
        let (model, load, fuel, nominal) = MODELS[random.below(MODELS.len())];
        let version = VERSIONS[random.below(VERSIONS.len())];
        let readings = [
            (0.005, -90.0, 90.0, 5),
            (0.005, -180.0, 180.0, 5),
            (10.0, 0.0, 500.0, 0),
            (10.0, 0.0, 100.0, 0),
            (5.0, 0.0, 360.0, 0),
            (5.0, 0.0, 100.0, 0),
            (5.0, 0.0, 50.0, 1),
        ];
        let diagnostics = [
            (0.02, 0.0, 1.0, 1),
            (load / 40.0, 0.0, load, 0),
            (1.2, 0.0, 5.0, 0),
        ];
        let mut walks = |of: &[(f64, f64, f64, i32)]| {
            of.iter().map(|bounds| Walk::new(random, *bounds)).collect()
        };
        Self {
            name: format!("truck_{at}").into(),
            texts: [fleet, driver, model, version],
            capacities: [load, fuel, nominal],
            walks: [walks(&readings), walks(&diagnostics)],
        }
    }

    fn row(&mut self, table: usize, time: i64, random: &mut Random) -> Row {
        let fields = self.walks[table]
            .iter_mut()
            .map(|walk| Some(walk.next(random)));
        let fields: Vec<Option<f64>> = fields.collect();
        let mut row = Row {
            time,
            name: self.name.clone(),
            texts: self.texts.map(|text| Some(text.into())),
            numbers: self
                .capacities
                .into_iter()
                .map(Some)
                .chain(fields)
                .collect(),
        };
        if random.unit() < 0.10 {
            let fields = row.numbers.len() - 3;
            row.numbers[3 + random.below(fields)] = None;
        }
        if random.unit() < 0.01 {
            match random.below(7) {
                text @ 0..4 => row.texts[text] = None,
                number => row.numbers[number - 4] = None,
            }
        }
        row
    }
}

/// Loses some rows and lets others come later.
fn arrive(rows: Vec<Row>, random: &mut Random) -> Vec<Row> {
    let (mut arrived, mut held): (Vec<Row>, Vec<Row>) = (Vec::new(), Vec::new());
    let mut late_batches: Vec<Vec<Row>> = Vec::new();
    for batch in rows.chunks(BATCH) {
        let fate = random.unit();
        if fate < 0.01 {
            continue;
        }
        let mut batch_rows = Vec::with_capacity(BATCH);
        for row in batch {
            match random.unit() {
                lost if lost < 0.10 => {}
                late if late < 0.40 => held.push(row.clone()),
                _ => batch_rows.push(row.clone()),
            }
        }
        // What was held comes with a batch that has room for it.
        while batch_rows.len() < BATCH && !held.is_empty() && random.unit() < 0.8 {
            batch_rows.push(held.swap_remove(random.below(held.len())));
        }
        match fate {
            late if late < 0.06 => late_batches.push(batch_rows),
            _ => arrived.extend(batch_rows),
        }
        if late_batches.len() > 3 && random.unit() < 0.3 {
            arrived.extend(late_batches.remove(0));
        }
    }
    arrived.extend(late_batches.into_iter().flatten());
    arrived.extend(held);
    // A sender that was not sure sends again, and sometimes something else.
    for at in (0..arrived.len()).step_by(997) {
        let mut again = arrived[at].clone();
        if random.unit() < 0.5
            && let Some(Some(value)) = again.numbers.get_mut(4)
        {
            *value += 1.0;
        }
        arrived.push(again);
    }
    arrived
}
