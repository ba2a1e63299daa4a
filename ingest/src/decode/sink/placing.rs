//! How one value finds its column: units, side columns, new names and new series.

use super::*;

impl Sink<'_> {
    pub(super) fn most(&self) -> usize {
        self.limits.max_metrics_per_message
    }

    #[cold]
    pub(super) fn again(&mut self, name: &str, value: Value<'_>, quality: Quality) {
        self.sample(name, value, quality);
    }

    pub(super) fn put(
        &mut self,
        name: &str,
        value: Value<'_>,
        quality: Quality,
    ) -> Result<(), Rejection> {
        if !self.limits.all_types && !matches!(value, Value::Number(_)) {
            self.row.seen += 1;
            let metric = shown(name);
            return Err(Rejection::NotANumber { metric });
        }
        if value == Value::Absent && quality == Quality::Good {
            return Ok(());
        }
        let place = self.row.seen;
        self.row.seen += 1;
        if self.row.seen > self.most() {
            return Err(Rejection::TooManyMetrics { most: self.most() });
        }
        let Some(bound) = self.bound(place, name)? else {
            return self.put_new(name, value, quality);
        };
        if bound.slot.is_none() {
            return Ok(());
        }
        let value = self.checked(name, value, bound.conversion)?;
        if !self.draft.use_column(bound.column) {
            let metric = shown(name);
            return Err(Rejection::MetricTwice { metric });
        }
        let slot = match value {
            Value::Number(_) => Slot::Number,
            Value::Text(_) => Slot::Text,
            Value::Absent => Slot::Quality,
        };
        if bound.slot == Some(slot) {
            self.push(bound.column, value);
        } else if value != Value::Absent {
            let side = self.side(name, slot);
            self.push(side, value);
        }
        self.put_quality(name, quality);
        Ok(())
    }

    /// A metric that has no column of its own in its class.
    pub(super) fn put_new(
        &mut self,
        name: &str,
        value: Value<'_>,
        quality: Quality,
    ) -> Result<(), Rejection> {
        let stored = stored(self.rule, name);
        let conversion = self.parts.conversion(stored);
        let value = self.checked(name, value, conversion)?;
        let class = self.row.class;
        if !self.draft.use_new(class, stored) {
            let metric = shown(name);
            return Err(Rejection::MetricTwice { metric });
        }
        let slot = match value {
            Value::Number(_) => Some(Slot::Number),
            Value::Text(_) => Some(Slot::Text),
            Value::Absent => None,
        };
        if let Some(slot) = slot {
            let column = self.draft.new_column(class, stored, slot);
            self.push(column, value);
            if self.rule.units.contains_key(stored) {
                self.needs_unit(class, stored.to_owned());
            }
        }
        self.put_quality(name, quality);
        Ok(())
    }

    pub(super) fn put_quality(&mut self, name: &str, quality: Quality) {
        let word = match quality {
            Quality::Good => return,
            Quality::Uncertain => "uncertain",
            Quality::Bad => "bad",
        };
        let column = self.side(name, Slot::Quality);
        self.push(column, Value::Text(word));
    }

    pub(super) fn push(&mut self, column: u32, value: Value<'_>) {
        match value {
            Value::Number(value) => self.draft.numbers.push((column, value)),
            Value::Text(text) => {
                let span = self.draft.write(text);
                self.draft.texts.push((column, span));
            }
            Value::Absent => {}
        }
    }

    /// The column of a known metric beside its own.
    pub(super) fn side(&mut self, name: &str, slot: Slot) -> u32 {
        let (class, stored) = (self.row.class, stored(self.rule, name));
        let known = match class & NEW {
            0 => self.catalog.class(class as usize).column(stored, slot),
            _ => None,
        };
        known.unwrap_or_else(|| self.draft.new_column(class, stored, slot))
    }

    /// The value as it is stored.
    pub(super) fn checked<'v>(
        &self,
        name: &str,
        value: Value<'v>,
        conversion: u32,
    ) -> Result<Value<'v>, Rejection> {
        match value {
            Value::Number(number) => {
                let place = (conversion as usize).checked_sub(1);
                let number = match place.and_then(|place| self.parts.conversions.get(place)) {
                    Some(conversion) => conversion.convert(number),
                    None => number,
                };
                if number.is_finite() {
                    return Ok(Value::Number(number));
                }
                let metric = shown(name);
                Err(Rejection::NotFinite { metric })
            }
            Value::Text(text) if text.len() > validate::MAX_TEXT_BYTES => {
                Err(Rejection::TextTooLong {
                    metric: shown(name),
                    most: validate::MAX_TEXT_BYTES,
                })
            }
            other => Ok(other),
        }
    }

    /// What a name means; none where its class does not have the metric.
    pub(super) fn bound(&mut self, place: usize, name: &str) -> Result<Option<Bound>, Rejection> {
        if self.row.binding != NONE {
            let binding = self.bindings.get(self.row.binding);
            if let Some(bound) = binding.bound(place, name) {
                return Ok(Some(bound));
            }
        }
        if self.rule.ignore.contains(name) {
            let bound = Bound {
                column: 0,
                slot: None,
                conversion: 0,
            };
            return Ok(Some(self.learned(place, name, bound)));
        }
        let stored = stored(self.rule, name);
        // A published name that no column may have is fine where the rule renames it.
        if !self.rule.rename.contains_key(name) {
            metric_name(name, self.limits)?;
        }
        if self.row.class & NEW != 0 {
            return Ok(None);
        }
        let class = self.catalog.class(self.row.class as usize);
        let metric = class.metric(stored);
        let Some((metric, (column, slot))) = metric.and_then(|metric| Some((metric, metric.own?)))
        else {
            return Ok(None);
        };
        let unit = self.rule.units.get(stored);
        if unit.is_some_and(|unit| class.unit(metric) != Some(unit.stored())) {
            self.needs_unit(self.row.class, stored.to_owned());
        }
        let bound = Bound {
            column,
            slot: Some(slot),
            conversion: self.parts.conversion(stored),
        };
        Ok(Some(self.learned(place, name, bound)))
    }

    pub(super) fn needs_unit(&mut self, class: u32, stored: String) {
        let needed = (class, stored);
        if !self.units.contains(&needed) {
            self.units.push(needed);
        }
    }

    pub(super) fn learned(&mut self, place: usize, name: &str, bound: Bound) -> Bound {
        if self.row.binding != NONE {
            let binding = self.bindings.get(self.row.binding);
            binding.learn(place, name, bound);
        }
        bound
    }

    pub(super) fn names_of_topic(&self) -> (Option<String>, Option<String>) {
        match &self.topic {
            TopicSays::Known { class, asset, .. } => {
                let class = self.catalog.class(*class as usize);
                let asset = class.tag(*asset).to_string();
                (Some(class.name.to_string()), Some(asset))
            }
            TopicSays::Names(names) => (names.class.clone(), names.asset.clone()),
        }
    }

    pub(super) fn new_series(
        &mut self,
        key: Option<&[u8]>,
        class: &str,
        asset: &str,
        tags: &[(&str, &str)],
    ) -> Result<Series, Rejection> {
        let known = self.catalog.class_id(class).map(|class| class as u32);
        let class_id = known.unwrap_or_else(|| self.draft.new_class(class));
        let of_class = known.map(|class| self.catalog.class(class as usize));
        let is_new = of_class.is_none_or(|class| class.asset_id(asset).is_none());
        if is_new && self.draft.new_asset(class_id, asset) {
            self.only_class(class, class_id, asset)?;
        }
        let mut columns = Vec::with_capacity(tags.len());
        for (name, text) in tags {
            if self.rule.ignore.contains(*name) {
                continue;
            }
            let name_stored = stored(self.rule, name);
            if !self.rule.rename.contains_key(*name) {
                metric_name(name, self.limits)?;
            }
            if text.len() > validate::MAX_TEXT_BYTES {
                return Err(Rejection::TextTooLong {
                    metric: shown(name),
                    most: validate::MAX_TEXT_BYTES,
                });
            }
            let column = of_class.and_then(|class| class.column(name_stored, Slot::Text));
            let column =
                column.unwrap_or_else(|| self.draft.new_column(class_id, name_stored, Slot::Text));
            if columns.iter().any(|(known, _)| *known == column) {
                let metric = shown(name);
                return Err(Rejection::MetricTwice { metric });
            }
            columns.push((column, (*text).to_owned()));
        }
        let place = self.draft.series.len() as u32;
        self.draft.series.push(NewSeries {
            key: key.map(Into::into),
            class: class_id,
            asset: asset.to_owned(),
            tags: columns,
        });
        if let Some(key) = key {
            self.draft.series_ids.insert(key.into(), place);
        }
        Ok(Series(NEW | place))
    }

    /// Whether a tag that its class does not know yet is unknown to every other class, too.
    ///
    /// Asked only where a tag would be new: data of a version that stored one tag under two
    /// classes goes on as it is, and a replay gives the same answers as the live write.
    pub(super) fn only_class(
        &mut self,
        class: &str,
        id: u32,
        asset: &str,
    ) -> Result<(), Rejection> {
        if !self.limits.one_class_per_asset || self.rule.shared_assets {
            return Ok(());
        }
        let known = match self.catalog.class_of_asset(asset) {
            Some(known) => self.catalog.class(known).name.to_string(),
            None => match self.draft.other_class(id, asset) {
                Some(new) if new & NEW != 0 => self.draft.classes[(new & !NEW) as usize].clone(),
                Some(known) => self.catalog.class(known as usize).name.to_string(),
                None => return Ok(()),
            },
        };
        self.refuse(Rejection::AssetOfAnotherClass {
            asset: asset.to_owned(),
            class: class.to_owned(),
            known,
        });
        Ok(())
    }
}
