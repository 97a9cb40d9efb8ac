//! Figures as people read them.

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// `count` bytes, for example `1.5 KiB`.
pub(crate) fn bytes(count: u64) -> String {
    let (mut amount, mut unit) = (count as f64, 0);
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        (amount, unit) = (amount / 1024.0, unit + 1);
    }
    if unit == 0 { format!("{count} B") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

/// Milliseconds, for example `850 ms` or `3.2 s`.
pub(crate) fn millis(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} ms"),
        1_000..120_000 => format!("{:.1} s", count as f64 / 1e3),
        _ => format!("{} min {} s", count / 60_000, count / 1_000 % 60),
    }
}

/// Seconds, for example `0.04 s`.
pub(crate) fn seconds(count: f64) -> String {
    format!("{count:.2} s")
}

/// The milliseconds since 1970 of an RFC 3339 time in UTC, for example `2026-01-31T10:00:00Z`.
pub(crate) fn instant(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':')?;
    let valid = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let valid = valid && hour < 24 && minute < 60 && second <= 60 && fraction.len() <= 9;
    let millis = format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
    valid.then(|| ((days(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + millis)
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let parts: Vec<i64> = text.split(separator).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// Days since 1970-01-01 in the Gregorian calendar; years begin in March so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_words_is_understood() {
        assert_eq!(instant("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(instant("2024-02-29T12:00:00.5Z"), Some(1_709_208_000_500));
        assert_eq!(instant("2026-11-21T11:48:00.123456Z"), Some(1_795_261_680_123));
        assert_eq!([instant("yesterday"), instant("2026-13-01T00:00:00Z"), instant("2026-01-01")], [None, None, None]);
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(5 << 30)], ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!([millis(7), millis(3_210), millis(125_000)], ["7 ms", "3.2 s", "2 min 5 s"]);
        assert_eq!(seconds(0.041), "0.04 s");
    }
}
