//! Whether a cron text can be read. When it fires is the scheduler's business.

use std::ops::RangeInclusive;

/// What is wrong with a cron text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCron {
    /// Too few or too many fields.
    #[error(
        "{cron:?} has {fields} fields; cron has five (minute, hour, day, month, weekday) or six (with the second first)"
    )]
    Fields {
        /// The text.
        cron: String,
        /// How many fields it has.
        fields: usize,
    },
    /// A value out of range.
    #[error("the {field} {value:?} is not within {first}-{last}")]
    Range {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
        /// The smallest there is.
        first: u8,
        /// The greatest there is.
        last: u8,
    },
    /// Not `*`, a value, a range, a list or a step.
    #[error("the {field} {value:?} cannot be read; use `*`, `7`, `1-5`, `1,15` or `*/10`")]
    Syntax {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
    },
}

struct Field {
    name: &'static str,
    values: RangeInclusive<u8>,
    /// Names of the values, beginning with the smallest.
    names: &'static [&'static str],
}

const fn field(name: &'static str, values: RangeInclusive<u8>, names: &'static [&'static str]) -> Field {
    Field { name, values, names }
}

const FIELDS: [Field; 6] = [
    field("second", 0..=59, &[]),
    field("minute", 0..=59, &[]),
    field("hour", 0..=23, &[]),
    field("day", 1..=31, &[]),
    field("month", 1..=12, &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]),
    field("weekday", 0..=7, &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]),
];

/// Whether `cron` has five or six fields that can be read.
///
/// # Errors
/// [`BadCron`] names the field, its value and what would be right.
pub fn check_cron(cron: &str) -> Result<(), BadCron> {
    let texts: Vec<_> = cron.split_whitespace().collect();
    let fields = match texts.len() {
        5 => &FIELDS[1..],
        6 => &FIELDS[..],
        fields => return Err(BadCron::Fields { cron: cron.chars().take(100).collect(), fields }),
    };
    fields.iter().zip(texts).try_for_each(|(field, text)| text.split(',').try_for_each(|part| field.check(part)))
}

impl Field {
    fn check(&self, part: &str) -> Result<(), BadCron> {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        if let Some(step) = step {
            let steps = step.parse::<u8>().ok().filter(|step| *step > 0 && *step <= *self.values.end());
            steps.ok_or_else(|| self.unreadable(part))?;
        }
        match range.split_once('-') {
            _ if range == "*" => Ok(()),
            None => self.value(range).map(drop),
            Some((first, last)) if self.value(first)? <= self.value(last)? => Ok(()),
            Some(_) => Err(self.unreadable(part)),
        }
    }

    fn value(&self, text: &str) -> Result<u8, BadCron> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        if let Some(at) = named {
            return Ok(*self.values.start() + at as u8);
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.unreadable(text));
        }
        let value = text.parse().ok().filter(|value| self.values.contains(value));
        let (first, last) = (*self.values.start(), *self.values.end());
        value.ok_or_else(|| BadCron::Range { field: self.name, value: text.to_owned(), first, last })
    }

    fn unreadable(&self, value: &str) -> BadCron {
        BadCron::Syntax { field: self.name, value: value.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_can_be_read() {
        for cron in ["* * * * *", "*/5 * * * *", "0 3 1,15 * MON-FRI", "30 0 3 * jan sun", "0 0-12/2 * * 7"] {
            assert_eq!(check_cron(cron), Ok(()), "{cron}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let refused = |cron: &str| check_cron(cron).unwrap_err().to_string();
        assert!(refused("* * * *").contains("has 4 fields"));
        assert_eq!(refused("60 * * * *"), "the minute \"60\" is not within 0-59");
        assert_eq!(refused("* * 0 * *"), "the day \"0\" is not within 1-31");
        for cron in
            ["*/0 * * * *", "5-1 * * * *", "a * * * *", "1,,2 * * * *", "-1 * * * *", "*/ * * * *", "* * * * 1-"]
        {
            assert!(matches!(check_cron(cron), Err(BadCron::Syntax { .. })), "{cron}");
        }
        assert!(matches!(check_cron("999 * * * *"), Err(BadCron::Range { .. })));
    }
}
