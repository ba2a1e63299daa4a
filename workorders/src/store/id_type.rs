//! The one macro that makes an identity: a newtype over prefixed UUIDv7 text.

/// Makes an id newtype: `id_type! { /// A work order. WorkOrderId, "wo_" }`.
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new id whose order is the order of time.
            pub fn new(ctx: &$crate::store::Ctx) -> Self {
                Self(format!("{}{}", $prefix, ctx.ids.uuid(ctx.now).simple()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::store::ids::IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::store::ids::check($prefix, text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
