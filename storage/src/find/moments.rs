//! Dates and times that are matched together, or on the clocks of the asker: [`Span`] and [`times_ahead`] as SQL.

use super::{Value, placeholder, text_of};
use pacs_core::{
    Tag,
    query::{Clock, Condition, MOMENTS, Query, Span, Zone, attribute, times_ahead},
    tags,
};

/// Further than any two zones are apart, in minutes.
const A_DAY_AND_MORE: i16 = 26 * 60;

/// The terms of what is not matched each by itself, and the attributes that this is all of.
pub(super) fn terms(query: &Query, values: &mut Vec<Value>) -> (Vec<String>, Vec<Tag>) {
    let (mut terms, mut done) = (Vec::new(), Vec::new());
    if query.clock == Clock::default() {
        return (terms, done);
    }
    for (date, time) in MOMENTS {
        if let Some(term) = pair(query, date, time).and_then(|pair| pair.term(query.clock, values)) {
            terms.push(term);
            done.extend([date, time]);
        }
    }
    (terms, done)
}

fn pair(query: &Query, date: Tag, time: Tag) -> Option<Pair<'_>> {
    let known = |tag: Tag| attribute(tag).filter(|attribute| attribute.level <= query.level);
    let column = |tag: Tag| Some(format!("{}_match", text_of(known(tag)?)));
    Some(Pair {
        date: query.conditions.get(&date),
        time: query.conditions.get(&time),
        date_column: column(date)?,
        time_column: column(time)?,
        is_zoned: date != tags::PATIENT_BIRTH_DATE,
    })
}

/// Conditions on the date and the time of one moment.
struct Pair<'a> {
    date: Option<&'a Condition>,
    time: Option<&'a Condition>,
    date_column: String,
    time_column: String,
    /// A birthday is the same everywhere.
    is_zoned: bool,
}

impl Pair<'_> {
    fn term(&self, clock: Clock, values: &mut Vec<Value>) -> Option<String> {
        match clock.zones.filter(|_| self.is_zoned) {
            Some((asked, local)) => self.in_zones(clock.combined, asked, local, values),
            None if clock.combined && self.time.is_some() => {
                Some(self.within(&Span::of(self.date?, self.time)?, values))
            }
            None => None,
        }
    }

    /// What each study says of its zone decides; one that says nothing, or nonsense, is taken for local.
    fn in_zones(&self, combined: bool, asked: Zone, local: Zone, values: &mut Vec<Value>) -> Option<String> {
        let zones: Vec<_> = Zone::all().map(|zone| format!("'{zone}'")).collect();
        let elsewhere = format!("study.timezone_offset_from_utc not in ({})", zones.join(", "));
        let mut terms = vec![format!("({elsewhere} and {})", self.ahead(combined, local.ahead_of(asked), values)?)];
        for zone in Zone::all() {
            let there = self.ahead(combined, zone.ahead_of(asked), values)?;
            terms.push(format!("(study.timezone_offset_from_utc = '{zone}' and {there})"));
        }
        let any = format!("({})", terms.join(" or "));
        Some(match self.date.and_then(|date| Span::of(date, None)) {
            // For an index to begin with.
            Some(span) => format!("{} and {any}", self.nearly(&span, values)),
            None => any,
        })
    }

    /// The conditions on clocks that are ahead of the asker's.
    fn ahead(&self, combined: bool, minutes: i16, values: &mut Vec<Value>) -> Option<String> {
        let (date, time) = (self.date, self.time);
        let span = date.and_then(|date| Span::of(date, time.filter(|_| combined)));
        let times = time.filter(|_| !combined || date.is_none()).map(|time| times_ahead(time, minutes));
        match (span, times) {
            (Some(span), None) => Some(self.within(&span.ahead(minutes), values)),
            (Some(span), Some(times)) => {
                let times = times?;
                Some(format!("{} and {}", self.within(&span.ahead(minutes), values), self.at(&times, values)))
            }
            (None, Some(times)) if date.is_none() => Some(self.at(&times?, values)),
            (None, _) => None,
        }
    }

    fn within(&self, Span { from, to }: &Span, values: &mut Vec<Value>) -> String {
        let (date, time) = (&self.date_column, &self.time_column);
        let mut terms = vec![format!("{date} <> ''")];
        for (end, beyond, up_to) in [(from, ">", ">="), (to, "<", "<=")] {
            let Some((day, at)) = end else { continue };
            let day = placeholder(values, Value::Text(day.clone()));
            terms.push(format!("{date} {up_to} {day}"));
            if !at.is_empty() {
                let at = placeholder(values, Value::Text(at.clone()));
                terms.push(format!("({date} {beyond} {day} or {time} {up_to} {at})"));
            }
        }
        format!("({})", terms.join(" and "))
    }

    fn nearly(&self, span: &Span, values: &mut Vec<Value>) -> String {
        let day = |end: Option<(String, String)>| end.map(|(day, _)| (day, String::new()));
        let (from, to) = (day(span.ahead(-A_DAY_AND_MORE).from), day(span.ahead(A_DAY_AND_MORE).to));
        self.within(&Span { from, to }, values)
    }

    fn at(&self, times: &[(String, String)], values: &mut Vec<Value>) -> String {
        let time = &self.time_column;
        let mut bound = |text: &String| placeholder(values, Value::Text(text.clone()));
        let any: Vec<_> =
            times.iter().map(|(from, to)| format!("({time} >= {} and {time} <= {})", bound(from), bound(to))).collect();
        format!("({})", any.join(" or "))
    }
}
