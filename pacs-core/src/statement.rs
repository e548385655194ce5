//! The text of a conformance statement (PS3.2): numbered sections, paragraphs and tables, in Markdown.

use crate::attributes::keyword;
use dicom_core::Tag;

/// A statement that is being written.
#[derive(Debug, Default)]
pub struct Statement {
    text: String,
    /// Of the section being written, from the chapter down.
    numbers: Vec<usize>,
}

impl Statement {
    pub fn new(title: &str) -> Self {
        Self { text: format!("# {title}\n"), numbers: Vec::new() }
    }

    /// Begins a chapter (1), a section (2), or what lies below.
    pub fn section(&mut self, depth: usize, title: &str) {
        self.numbers.resize(depth.max(1), 0);
        if let Some(last) = self.numbers.last_mut() {
            *last += 1;
        }
        let numbers: Vec<_> = self.numbers.iter().map(ToString::to_string).collect();
        let marks = "#".repeat(depth.max(1) + 1);
        self.text += &format!("\n{marks} {} {title}\n", numbers.join("."));
    }

    /// One or more paragraphs.
    pub fn paragraph(&mut self, text: impl AsRef<str>) {
        self.text += &format!("\n{}\n", text.as_ref().trim());
    }

    /// A table; every row has as many cells as there are heads.
    pub fn table<const N: usize>(&mut self, heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
        self.text += &format!("\n| {} |\n|{}\n", heads.join(" | "), "---|".repeat(N));
        for row in rows {
            self.text += &format!("| {} |\n", row.map(|cell| cell_text(&cell)).join(" | "));
        }
    }

    pub fn into_text(self) -> String {
        self.text
    }
}

/// A cell ends at a bar and a row at a line's end, so a value may hold neither.
fn cell_text(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text as code.
pub fn code(text: impl std::fmt::Display) -> String {
    format!("`{text}`")
}

/// The keyword of an attribute and its tag.
pub fn attribute_name(tag: Tag) -> String {
    let keyword = keyword(tag).unwrap_or("Private");
    format!("{keyword} ({:04X},{:04X})", tag.group(), tag.element())
}

/// Several of these, separated by commas.
pub fn attribute_names(tags: impl IntoIterator<Item = Tag>) -> String {
    tags.into_iter().map(attribute_name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_numbered_and_no_value_breaks_a_table() {
        let mut statement = Statement::new("Statement");
        statement.section(1, "One");
        statement.section(2, "First");
        statement.section(2, "Second");
        statement.section(1, "Two");
        statement.section(3, "Deep");
        statement.paragraph("Said.\n");
        statement.table(["a", "b"], [["x|y\n| z".to_owned(), String::new()]]);
        let expected = "# Statement\n\n## 1 One\n\n### 1.1 First\n\n### 1.2 Second\n\n## 2 Two\n\n#### 2.0.1 Deep\n\nSaid.\n\n\
            | a | b |\n|---|---|\n| x\\|y \\| z |  |\n";
        assert_eq!(statement.into_text(), expected);
    }

    #[test]
    fn an_attribute_has_its_keyword_and_tag() {
        assert_eq!(attribute_name(dicom_dictionary_std::tags::PATIENT_ID), "PatientID (0010,0020)");
    }
}
