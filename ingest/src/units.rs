//! Engineering units: from the unit in which a device publishes to the one that is stored.

use thiserror::Error;

/// What a unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Temperature,
    Pressure,
    Length,
    Speed,
    VolumeFlow,
    MassFlow,
    Power,
    Energy,
    Rotation,
    Frequency,
    Acceleration,
    Mass,
    Volume,
    Current,
    Voltage,
    Time,
    Ratio,
}

use Dimension::{
    Acceleration, Current, Energy, Frequency, Length, Mass, MassFlow, Power, Pressure, Ratio,
    Rotation, Speed, Temperature, Time, Voltage, Volume, VolumeFlow,
};

/// One unit: `base = (value - zero) × numerator ÷ denominator`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unit {
    names: &'static [&'static str],
    dimension: Dimension,
    zero: f64,
    numerator: f64,
    denominator: f64,
}

/// From one unit to another of the same dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    from: Unit,
    to: Unit,
}

/// Why there is no conversion.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnitError {
    /// Not in the table.
    #[error("the unit \"{0}\" is unknown; docs/contract.md lists those that can be converted")]
    Unknown(String),
    /// Of two dimensions.
    #[error("\"{published}\" and \"{stored}\" do not measure the same")]
    Unlike {
        /// The published unit.
        published: String,
        /// The stored unit.
        stored: String,
    },
}

const fn unit(
    names: &'static [&'static str],
    dimension: Dimension,
    numerator: f64,
    denominator: f64,
) -> Unit {
    Unit {
        names,
        dimension,
        zero: 0.0,
        numerator,
        denominator,
    }
}

const fn with_zero(unit: Unit, zero: f64) -> Unit {
    Unit { zero, ..unit }
}

/// **Source**: the definitions of the SI brochure (9th edition) and NIST SP 811, appendix B.
const UNITS: &[Unit] = &[
    unit(&["degC", "°C", "C", "celsius"], Temperature, 1.0, 1.0),
    with_zero(
        unit(&["degF", "°F", "F", "fahrenheit"], Temperature, 5.0, 9.0),
        32.0,
    ),
    with_zero(unit(&["K", "kelvin"], Temperature, 1.0, 1.0), 273.15),
    unit(&["Pa"], Pressure, 1.0, 1.0),
    unit(&["hPa", "mbar"], Pressure, 100.0, 1.0),
    unit(&["kPa"], Pressure, 1e3, 1.0),
    unit(&["MPa"], Pressure, 1e6, 1.0),
    unit(&["bar"], Pressure, 1e5, 1.0),
    unit(&["psi"], Pressure, 4.448_221_615_260_5, 0.000_645_16),
    unit(&["atm"], Pressure, 101_325.0, 1.0),
    unit(&["m"], Length, 1.0, 1.0),
    unit(&["mm"], Length, 1.0, 1e3),
    unit(&["um", "µm"], Length, 1.0, 1e6),
    unit(&["cm"], Length, 1.0, 100.0),
    unit(&["km"], Length, 1e3, 1.0),
    unit(&["in"], Length, 254.0, 1e4),
    unit(&["mil"], Length, 254.0, 1e7),
    unit(&["ft"], Length, 3_048.0, 1e4),
    unit(&["mi"], Length, 1_609_344.0, 1e3),
    unit(&["m/s"], Speed, 1.0, 1.0),
    unit(&["mm/s"], Speed, 1.0, 1e3),
    unit(&["in/s", "ips"], Speed, 254.0, 1e4),
    unit(&["ft/s"], Speed, 3_048.0, 1e4),
    unit(&["km/h", "kph"], Speed, 5.0, 18.0),
    unit(&["mph"], Speed, 44_704.0, 1e5),
    unit(&["kn", "knot"], Speed, 1_852.0, 3_600.0),
    unit(&["m3/s", "m³/s"], VolumeFlow, 1.0, 1.0),
    unit(&["m3/h", "m³/h"], VolumeFlow, 1.0, 3_600.0),
    unit(&["l/s"], VolumeFlow, 1.0, 1e3),
    unit(&["l/min"], VolumeFlow, 1.0, 6e4),
    unit(&["l/h"], VolumeFlow, 1.0, 3.6e6),
    unit(&["gpm"], VolumeFlow, 3.785_411_784, 6e4),
    unit(&["cfm"], VolumeFlow, 0.028_316_846_592, 60.0),
    unit(&["kg/s"], MassFlow, 1.0, 1.0),
    unit(&["kg/h"], MassFlow, 1.0, 3_600.0),
    unit(&["t/h"], MassFlow, 1.0, 3.6),
    unit(&["lb/h"], MassFlow, 0.453_592_37, 3_600.0),
    unit(&["W"], Power, 1.0, 1.0),
    unit(&["kW"], Power, 1e3, 1.0),
    unit(&["MW"], Power, 1e6, 1.0),
    unit(&["hp"], Power, 745.699_871_582_270_2, 1.0),
    unit(&["PS"], Power, 735.498_75, 1.0),
    unit(&["J"], Energy, 1.0, 1.0),
    unit(&["kJ"], Energy, 1e3, 1.0),
    unit(&["MJ"], Energy, 1e6, 1.0),
    unit(&["Wh"], Energy, 3_600.0, 1.0),
    unit(&["kWh"], Energy, 3.6e6, 1.0),
    unit(&["MWh"], Energy, 3.6e9, 1.0),
    unit(&["BTU"], Energy, 1_055.055_852_62, 1.0),
    unit(&["rpm", "1/min"], Rotation, 1.0, 1.0),
    unit(&["rps", "1/s"], Rotation, 60.0, 1.0),
    unit(&["rad/s"], Rotation, 30.0, std::f64::consts::PI),
    unit(&["deg/s", "°/s"], Rotation, 1.0, 6.0),
    unit(&["Hz"], Frequency, 1.0, 1.0),
    unit(&["kHz"], Frequency, 1e3, 1.0),
    unit(&["m/s2", "m/s²"], Acceleration, 1.0, 1.0),
    unit(&["mm/s2", "mm/s²"], Acceleration, 1.0, 1e3),
    unit(&["g", "g0"], Acceleration, 9.806_65, 1.0),
    unit(&["mg0"], Acceleration, 9.806_65, 1e3),
    unit(&["kg"], Mass, 1.0, 1.0),
    unit(&["t"], Mass, 1e3, 1.0),
    unit(&["lb"], Mass, 0.453_592_37, 1.0),
    unit(&["m3", "m³"], Volume, 1.0, 1.0),
    unit(&["l"], Volume, 1.0, 1e3),
    unit(&["ml"], Volume, 1.0, 1e6),
    unit(&["gal"], Volume, 3.785_411_784, 1e3),
    unit(&["A"], Current, 1.0, 1.0),
    unit(&["mA"], Current, 1.0, 1e3),
    unit(&["V"], Voltage, 1.0, 1.0),
    unit(&["mV"], Voltage, 1.0, 1e3),
    unit(&["kV"], Voltage, 1e3, 1.0),
    unit(&["s"], Time, 1.0, 1.0),
    unit(&["ms"], Time, 1.0, 1e3),
    unit(&["min"], Time, 60.0, 1.0),
    unit(&["h"], Time, 3_600.0, 1.0),
    unit(&["%", "percent"], Ratio, 1.0, 100.0),
    unit(&["1", "ratio"], Ratio, 1.0, 1.0),
    unit(&["ppm"], Ratio, 1.0, 1e6),
];

impl Conversion {
    /// Finds both units.
    ///
    /// **Errors**: see [`UnitError`].
    pub fn between(published: &str, stored: &str) -> Result<Self, UnitError> {
        let (from, to) = (find(published)?, find(stored)?);
        if from.dimension != to.dimension {
            return Err(UnitError::Unlike {
                published: published.to_owned(),
                stored: stored.to_owned(),
            });
        }
        Ok(Self { from, to })
    }

    /// The stored value of a published one.
    pub fn convert(&self, published: f64) -> f64 {
        let (from, to) = (self.from, self.to);
        if from == to {
            return published;
        }
        // One product and one quotient of exact numbers each, so that 212 °F is 100 °C.
        let factor = from.numerator * to.denominator;
        let divisor = from.denominator * to.numerator;
        let scaled = if from.zero == 0.0 {
            published * factor / divisor
        } else {
            (published - from.zero) * factor / divisor
        };
        if to.zero == 0.0 {
            scaled
        } else {
            scaled + to.zero
        }
    }
}

fn find(name: &str) -> Result<Unit, UnitError> {
    let known = UNITS.iter().find(|unit| unit.names.contains(&name));
    known
        .copied()
        .ok_or_else(|| UnitError::Unknown(name.chars().take(64).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(published: &str, stored: &str, value: f64, expected: f64) {
        let conversion = Conversion::between(published, stored).unwrap();
        let found = conversion.convert(value);
        // Two roundings at most: whole results come out whole.
        let off = (found - expected).abs() / expected.abs().max(1.0);
        assert!(
            off < 5e-16,
            "{value} {published} is {found} {stored}, not {expected}"
        );
        let back = Conversion::between(stored, published).unwrap();
        let again = back.convert(expected);
        let off = (again - value).abs() / value.abs().max(1.0);
        assert!(off < 1e-12, "{expected} {stored} in {published}: {again}");
    }

    #[test]
    fn conversions() {
        check("degF", "degC", 212.0, 100.0);
        check("°F", "°C", -40.0, -40.0);
        check("K", "degC", 273.15, 0.0);
        check("degF", "K", 32.0, 273.15);
        check("bar", "kPa", 1.5, 150.0);
        check("mbar", "Pa", 1013.25, 101_325.0);
        check("psi", "kPa", 1.0, 6.894_757_293_168_361);
        check("in", "mm", 1.0, 25.4);
        check("ft", "m", 10.0, 3.048);
        check("km/h", "m/s", 36.0, 10.0);
        check("mph", "km/h", 1.0, 1.609_344);
        check("l/min", "m3/h", 1000.0, 60.0);
        check("gpm", "l/min", 1.0, 3.785_411_784);
        check("kW", "W", 2.2, 2200.0);
        check("kWh", "MJ", 1.0, 3.6);
        check("rps", "rpm", 25.0, 1500.0);
        check("in/s", "mm/s", 0.5, 12.7);
        check("g", "m/s2", 2.0, 19.6133);
        check("%", "1", 50.0, 0.5);
        check("rpm", "rpm", 0.1 + 0.2, 0.1 + 0.2);
    }

    #[test]
    fn mistakes() {
        let said = |published, stored| {
            Conversion::between(published, stored)
                .unwrap_err()
                .to_string()
        };
        assert!(said("furlong", "m").contains("\"furlong\" is unknown"));
        assert!(said("m", "rods").contains("\"rods\" is unknown"));
        assert!(said("bar", "m").contains("do not measure the same"));
    }

    #[test]
    fn a_name_means_one_unit() {
        let mut names: Vec<&str> = UNITS.iter().flat_map(|unit| unit.names).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
