//! Sentences that people read in the receiving systems.

use pacs_core::finding::{Finding, Report};

/// Goes with every result of an algorithm, wherever it is written.
pub const STATUS_WORDS: &str = "demonstration, not for clinical use";

/// Texts for people are cut to this many characters.
const SHORT: usize = 500;

/// The report's own status with [`STATUS_WORDS`], which is not left to its author.
pub fn status(report: &Report) -> String {
    let own = report.status.trim();
    if own.is_empty() || own.eq_ignore_ascii_case(STATUS_WORDS) {
        STATUS_WORDS.to_owned()
    } else if own.to_ascii_lowercase().contains(STATUS_WORDS) {
        own.to_owned()
    } else {
        format!("{own}; {STATUS_WORDS}")
    }
}

/// Who made the report: `name version`.
pub fn algorithm(report: &Report) -> String {
    format!("{} {}", report.algorithm_name, report.algorithm_version).trim().to_owned()
}

/// The whole report in one sentence.
pub fn impression(report: &Report) -> String {
    let by = algorithm(report);
    let by = if by.is_empty() { "an algorithm" } else { by.as_str() };
    let largest = report.findings.iter().max_by(|a, b| a.long_axis_mm.total_cmp(&b.long_axis_mm));
    let found = match largest {
        None => format!("No lung nodule found by {by}"),
        Some(only) if report.findings.len() == 1 => format!("1 lung nodule marked by {by}{}", extent(only, " with")),
        Some(largest) => {
            let extent = extent(largest, " has");
            let number = largest.number;
            let tail =
                if extent.is_empty() { String::new() } else { format!("; the largest, number {number},{extent}") };
            format!("{} lung nodules marked by {by}{tail}", report.findings.len())
        }
    };
    format!("{found}. Preliminary, not reviewed by a physician; {}.", status(report))
}

fn extent(finding: &Finding, verb: &str) -> String {
    measured(finding.long_axis_mm, 1).map_or(String::new(), |mm| format!("{verb} a long axis of {mm} mm"))
}

/// One nodule in one sentence, with its place.
pub fn finding(finding: &Finding, report: &Report) -> String {
    let measures = [
        measured(finding.long_axis_mm, 1).map(|v| format!("long axis {v} mm")),
        measured(finding.short_axis_mm, 1).map(|v| format!("short axis {v} mm")),
        measured(finding.volume_mm3, 0).map(|v| format!("volume {v} mm3")),
        confidence(finding).map(|v| format!("confidence {v}")),
    ];
    let measures: Vec<String> = measures.into_iter().flatten().chain([center(finding)]).collect();
    let estimated = if finding.estimated { "size estimated, " } else { "" };
    format!("Nodule {}: {estimated}{} ({})", finding.number, measures.join(", "), status(report))
}

/// Where a nodule is: patient millimetres (LPS) and the image it lies on.
pub fn place(finding: &Finding) -> String {
    let frame = finding.frame.map_or(String::new(), |frame| format!(" frame {frame}"));
    format!("{} in image {}{frame}", center(finding), finding.sop_instance)
}

/// Patient millimetres (LPS). Receivers hold a text line to 199 characters: a UID of 64 would not fit into every sentence.
fn center(finding: &Finding) -> String {
    let [x, y, z] = finding.center_mm;
    format!("centre ({x:.1}, {y:.1}, {z:.1}) mm")
}

/// A length or volume as text; `None` when it was not measured.
pub fn measured(value: f64, decimals: usize) -> Option<String> {
    (value.is_finite() && value > 0.0).then(|| format!("{value:.decimals$}"))
}

/// Confidence, above 0 and at most 1, as text; `None` when there is none.
pub fn confidence(finding: &Finding) -> Option<String> {
    let known = finding.confidence > 0.0 && finding.confidence <= 1.0;
    known.then(|| format!("{:.3}", finding.confidence))
}

/// At most 500 characters of a text, on one line.
pub fn shorten(text: &str) -> String {
    let mut line: String = text.chars().take(SHORT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHORT).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging_result::example;

    #[test]
    fn every_sentence_says_that_it_is_a_demonstration() {
        let mut report = example::result().report;
        for status in ["", "research", "Demonstration, not for clinical use"] {
            report.status = status.into();
            assert!(impression(&report).to_lowercase().contains(STATUS_WORDS));
            assert!(finding(&report.findings[0], &report).to_lowercase().contains(STATUS_WORDS));
        }
    }

    #[test]
    fn the_impression_counts_the_nodules_and_names_the_largest() {
        let mut report = example::result().report;
        let expected = "2 lung nodules marked by Yinghai nodule 0.1; the largest, number 2, has a long axis of 11.0 mm. \
                        Preliminary, not reviewed by a physician; demonstration, not for clinical use.";
        assert_eq!(impression(&report), expected);
        report.findings.truncate(1);
        assert!(
            impression(&report).starts_with("1 lung nodule marked by Yinghai nodule 0.1 with a long axis of 6.3 mm.")
        );
        report.findings.clear();
        assert!(impression(&report).starts_with("No lung nodule found by Yinghai nodule 0.1."));
    }

    #[test]
    fn what_was_not_measured_is_not_written() {
        let mut report = example::result().report;
        report.findings[0].volume_mm3 = f64::NAN;
        report.findings[0].confidence = f64::NAN;
        assert_eq!(
            finding(&report.findings[0], &report),
            "Nodule 1: long axis 6.3 mm, short axis 4.8 mm, centre (-61.5, 20.2, -140.0) mm \
             (demonstration, not for clinical use)"
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shorten(&"王".repeat(501)), format!("{}…", "王".repeat(500)));
        assert_eq!(shorten("a\r\nb"), "a  b");
    }
}
