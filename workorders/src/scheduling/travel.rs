//! How long a trip takes: the great circle, a detour factor and an average speed.

/// Roads are longer than the great circle by this factor.
///
/// **Source**: circuity of European road networks lies between 1.2 and 1.4.
const DETOUR: f64 = 1.3;
/// Mean radius of the Earth. **Units** meters. **Source**: IUGG.
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// A place on Earth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// **Units** degrees north.
    pub latitude: f64,
    /// **Units** degrees east.
    pub longitude: f64,
}

/// A way between two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trip {
    /// **Units** meters of road.
    pub meters: i64,
    /// **Units** whole minutes, rounded up.
    pub minutes: i64,
}

/// The trip between two places at an average speed in km/h.
///
/// Minutes are rounded up, so going through a third place never looks shorter by rounding down.
pub fn trip(from: Place, to: Place, speed_kmh: i64) -> Trip {
    let meters = (great_circle_m(from, to) * DETOUR).ceil();
    let meters_per_minute = (speed_kmh.max(1) as f64) * 1_000.0 / 60.0;
    Trip {
        meters: meters as i64,
        minutes: (meters / meters_per_minute).ceil() as i64,
    }
}

/// **Source**: the haversine formula, stable for short distances.
fn great_circle_m(from: Place, to: Place) -> f64 {
    let (lat1, lat2) = (from.latitude.to_radians(), to.latitude.to_radians());
    let half_lat = (lat2 - lat1) / 2.0;
    let half_lon = (to.longitude - from.longitude).to_radians() / 2.0;
    let h = half_lat.sin().powi(2) + lat1.cos() * lat2.cos() * half_lon.sin().powi(2);
    2.0 * EARTH_RADIUS_M * h.clamp(0.0, 1.0).sqrt().asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MITTE: Place = Place {
        latitude: 52.5170,
        longitude: 13.3889,
    };
    const POTSDAM: Place = Place {
        latitude: 52.3967,
        longitude: 13.0583,
    };

    #[test]
    fn a_known_distance() {
        // Independent value: equirectangular projection at the mean latitude.
        let mean = f64::midpoint(MITTE.latitude, POTSDAM.latitude).to_radians();
        let x = (MITTE.longitude - POTSDAM.longitude).to_radians() * mean.cos();
        let y = (MITTE.latitude - POTSDAM.latitude).to_radians();
        let flat = EARTH_RADIUS_M * x.hypot(y);
        let round = great_circle_m(MITTE, POTSDAM);
        assert!((flat - round).abs() < 5.0, "{flat} m flat, {round} m round");
        let way = trip(MITTE, POTSDAM, 60);
        assert_eq!(way.minutes, (way.meters + 999) / 1_000);
    }

    #[test]
    fn no_way_takes_no_time_and_a_short_one_a_minute() {
        assert_eq!(
            trip(MITTE, MITTE, 40),
            Trip {
                meters: 0,
                minutes: 0
            }
        );
        let near = Place {
            latitude: 52.5171,
            ..MITTE
        };
        assert_eq!(trip(MITTE, near, 40).minutes, 1);
    }

    #[test]
    fn there_and_back_are_equal_and_a_detour_is_not_shorter() {
        let tegel = Place {
            latitude: 52.5713,
            longitude: 13.2690,
        };
        for speed in [20, 40, 90] {
            let direct = trip(MITTE, POTSDAM, speed).minutes;
            assert_eq!(direct, trip(POTSDAM, MITTE, speed).minutes);
            let detour = trip(MITTE, tegel, speed).minutes + trip(tegel, POTSDAM, speed).minutes;
            assert!(detour >= direct, "{speed} km/h");
        }
    }
}
