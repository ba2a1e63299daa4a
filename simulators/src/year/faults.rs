//! What breaks in a year, how it grows, and what of it the sensors see.

use serde::{Deserialize, Serialize};

use super::classes::YearClass;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum YearFault {
    /// A bearing wears out: it shakes and runs hot.
    BearingWear,
    /// The impeller wears: less flow and head for the same speed.
    ImpellerWear,
    /// A shaft seal leaks: flow and head are lost, the motor works for it.
    SealLeak,
    /// Dirt on one side of a rotor: it shakes.
    Imbalance,
    /// A belt slips: less is moved, the belt runs hot.
    BeltSlip,
    /// A filter clogs: pressure is lost across it.
    FilterClog,
    /// Dirt on the condenser: pressure, approach and power rise.
    CondenserFouling,
    /// Refrigerant is lost: suction pressure falls, superheat rises.
    RefrigerantLoss,
    /// The expansion valve sticks half open: superheat falls, the supply is too warm.
    ValveSticking,
    /// The oil cooler clogs: oil and gas run hot.
    OilCoolerFouling,
    /// A motor winding ages: more current for the same work, a hot motor.
    MotorWinding,
    /// The gear loses its oil: it runs hot and loud.
    LubricationLoss,
}

impl YearFault {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::BearingWear,
        Self::ImpellerWear,
        Self::SealLeak,
        Self::Imbalance,
        Self::BeltSlip,
        Self::FilterClog,
        Self::CondenserFouling,
        Self::RefrigerantLoss,
        Self::ValveSticking,
        Self::OilCoolerFouling,
        Self::MotorWinding,
        Self::LubricationLoss,
    ];

    /// What the fault adds to each metric of a class when it is fully grown.
    /// **Units**: standard deviations of one reading's sensor noise; nothing: not of this class.
    pub fn signature(self, class: YearClass) -> Option<&'static [(&'static str, f64)]> {
        use YearClass::{AirCompressor, AirHandler, Chiller, CirculationPump, Conveyor};
        Some(match (self, class) {
            (Self::BearingWear, CirculationPump) => &[
                ("vibration_mm_s", 13.0),
                ("bearing_temp_c", 14.0),
                ("motor_current_a", 2.0),
            ],
            (Self::BearingWear, AirHandler) => {
                &[("vibration_mm_s", 12.0), ("bearing_temp_c", 15.0)]
            }
            (Self::BearingWear, AirCompressor) => &[
                ("vibration_mm_s", 14.0),
                ("oil_temp_c", 6.0),
                ("motor_current_a", 3.0),
            ],
            (Self::BearingWear, Conveyor) => {
                &[("gear_vibration_mm_s", 13.0), ("motor_temp_c", 7.0)]
            }
            (Self::ImpellerWear, CirculationPump) => &[
                ("flow_m3h", -9.0),
                ("head_m", -12.0),
                ("motor_current_a", -4.0),
                ("vibration_mm_s", 3.0),
            ],
            (Self::SealLeak, CirculationPump) => &[
                ("flow_m3h", -11.0),
                ("head_m", -8.0),
                ("motor_current_a", 5.0),
            ],
            (Self::Imbalance, AirHandler) => &[("vibration_mm_s", 16.0), ("bearing_temp_c", 4.0)],
            (Self::BeltSlip, AirHandler) => &[
                ("airflow_m3h", -11.0),
                ("motor_current_a", -7.0),
                ("vibration_mm_s", 4.0),
            ],
            (Self::BeltSlip, Conveyor) => &[
                ("slip_pct", 12.0),
                ("motor_temp_c", 6.0),
                ("motor_current_a", 4.0),
            ],
            (Self::FilterClog, AirHandler) => &[
                ("filter_dp_pa", 16.0),
                ("airflow_m3h", -7.0),
                ("motor_current_a", 3.0),
            ],
            (Self::FilterClog, AirCompressor) => &[
                ("intake_dp_pa", 15.0),
                ("discharge_temp_c", 5.0),
                ("motor_current_a", 3.0),
            ],
            (Self::CondenserFouling, Chiller) => &[
                ("condenser_approach_k", 13.0),
                ("discharge_pressure_bar", 9.0),
                ("power_kw", 6.0),
            ],
            (Self::RefrigerantLoss, Chiller) => &[
                ("suction_pressure_bar", -10.0),
                ("superheat_k", 13.0),
                ("power_kw", 4.0),
                ("supply_temp_c", 3.0),
            ],
            (Self::ValveSticking, Chiller) => &[
                ("superheat_k", -10.0),
                ("suction_pressure_bar", 8.0),
                ("supply_temp_c", 6.0),
            ],
            (Self::OilCoolerFouling, AirCompressor) => {
                &[("oil_temp_c", 14.0), ("discharge_temp_c", 10.0)]
            }
            (Self::MotorWinding, AirCompressor) => &[
                ("motor_current_a", 11.0),
                ("vibration_mm_s", 4.0),
                ("oil_temp_c", 3.0),
            ],
            (Self::MotorWinding, Conveyor) => &[("motor_current_a", 10.0), ("motor_temp_c", 13.0)],
            (Self::LubricationLoss, Conveyor) => &[
                ("gearbox_temp_c", 14.0),
                ("gear_vibration_mm_s", 9.0),
                ("motor_current_a", 4.0),
            ],
            _ => return None,
        })
    }

    /// The classes that it befalls.
    pub fn classes(self) -> Vec<YearClass> {
        let befalls = |class: &YearClass| self.signature(*class).is_some();
        YearClass::ALL.into_iter().filter(befalls).collect()
    }
}

/// How a fault grows from its onset to the failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// Evenly.
    Linear,
    /// Faster the worse it is: half of it in the last fifth.
    Exponential,
    /// In five steps.
    Stepwise,
    /// At once: onset and failure are one instant.
    Sudden,
}

impl Growth {
    /// Shapes of faults that take their time.
    pub const GROWING: [Self; 3] = [Self::Linear, Self::Exponential, Self::Stepwise];

    /// The severity after this part of the growth, 0 to 1.
    pub fn severity(self, part: f64) -> f64 {
        let part = part.clamp(0.0, 1.0);
        match self {
            Self::Linear => part,
            Self::Exponential => ((3.0 * part).exp() - 1.0) / (3f64.exp() - 1.0),
            Self::Stepwise => (5.0 * part).floor() / 5.0,
            Self::Sudden => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_befalls_a_class_and_names_its_metrics() {
        for fault in YearFault::ALL {
            assert!(!fault.classes().is_empty(), "{fault:?}");
            for class in fault.classes() {
                let signature = fault.signature(class).unwrap();
                assert!(signature.len() >= 2, "{fault:?} of {class:?}");
                for (metric, _) in signature {
                    assert!(
                        class.metrics().iter().any(|m| m.name == *metric),
                        "{class:?} {metric}"
                    );
                }
            }
        }
        for class in YearClass::ALL {
            let kinds = YearFault::ALL
                .iter()
                .filter(|kind| kind.signature(class).is_some());
            assert!(kinds.count() >= 3, "{class:?}");
        }
    }

    #[test]
    fn growth_begins_at_nothing_and_ends_in_failure() {
        for growth in Growth::GROWING {
            assert_eq!(growth.severity(0.0), 0.0);
            assert!((growth.severity(1.0) - 1.0).abs() < 1e-12);
            assert!((1..100).all(|n| growth.severity(f64::from(n) / 100.0)
                <= growth.severity(f64::from(n + 1) / 100.0)));
        }
        assert!(Growth::Exponential.severity(0.78) < 0.5);
        assert_eq!(Growth::Stepwise.severity(0.5), 0.4);
    }
}
