//! A one-page report to print and file: a verdict, facts, tables of evidence, and what to do. HTML without scripts and
//! without anything to load, so that it looks the same on a machine without a network.

use std::fmt::Write;

/// How a verdict is to be taken, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// It works, and something is to be known.
    Fair,
    /// It doesn't work.
    Bad,
    /// Nothing can be said.
    Open,
}

impl Tone {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Bad => "bad",
            Self::Open => "open",
        }
    }
}

/// One cell of a table; the text is escaped when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl Cell {
    /// A cell whose tone shows.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone: Some(tone),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            tone: None,
        }
    }
}

/// A table under a heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Above the table.
    pub heading: String,
    /// Names of the columns.
    pub columns: Vec<&'static str>,
    /// As many cells a row as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was looked at.
    pub title: String,
    /// What came out, in a word or two.
    pub verdict: (String, Tone),
    /// Host, interface, driver, date and whatever else identifies what was looked at.
    pub facts: Vec<(&'static str, String)>,
    /// What was seen.
    pub tables: Vec<Table>,
    /// What to know and what to do, a sentence or two each.
    pub notes: Vec<String>,
}

const STYLE: &str = "@page{size:A4;margin:14mm}body{font:10pt/1.4 system-ui,sans-serif;max-width:190mm;margin:1em auto;color:#111}\
h1{font-size:16pt;margin:0 0 .2em}h2{font-size:11pt;margin:1.2em 0 .3em}table{border-collapse:collapse;width:100%}\
td,th{border:1px solid #bbb;padding:.2em .5em;text-align:left;vertical-align:top}th{background:#eee}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em;margin:.6em 0}dt{color:#555}dd{margin:0}\
.verdict{font-size:14pt;font-weight:bold;padding:.2em .6em;display:inline-block;border:2px solid}\
.good{color:#05602a}.fair{color:#7a5200}.bad{color:#a01010}.open{color:#444}tr{break-inside:avoid}";

impl Report {
    /// The report as an HTML document.
    pub fn html(&self) -> String {
        let mut page = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut page);
        page
    }

    fn write(&self, page: &mut String) -> std::fmt::Result {
        let title = escaped(&self.title);
        write!(
            page,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        )?;
        let (verdict, tone) = &self.verdict;
        writeln!(page, "<p class=\"verdict {}\">{}</p>", tone.class(), escaped(verdict))?;
        page.push_str("<dl>");
        for (name, value) in &self.facts {
            write!(page, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value))?;
        }
        page.push_str("</dl>\n");
        for table in &self.tables {
            table.write(page)?;
        }
        if !self.notes.is_empty() {
            page.push_str("<h2>What to know and do</h2>\n<ul>");
            for note in &self.notes {
                write!(page, "<li>{}</li>", escaped(note))?;
            }
            page.push_str("</ul>\n");
        }
        page.push_str("</body></html>\n");
        Ok(())
    }
}

impl Table {
    fn write(&self, page: &mut String) -> std::fmt::Result {
        write!(page, "<h2>{}</h2>\n<table><tr>", escaped(&self.heading))?;
        for column in &self.columns {
            write!(page, "<th>{}</th>", escaped(column))?;
        }
        page.push_str("</tr>\n");
        for row in &self.rows {
            page.push_str("<tr>");
            for cell in row {
                match cell.tone {
                    Some(tone) => write!(page, "<td class=\"{}\">{}</td>", tone.class(), escaped(&cell.text))?,
                    None => write!(page, "<td>{}</td>", escaped(&cell.text))?,
                }
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</table>\n");
        Ok(())
    }
}

/// Names of interfaces, hosts and callers come from outside.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_no_markup() {
        let report = Report {
            title: "NIC <script>".to_owned(),
            verdict: ("NOT QUALIFIED".to_owned(), Tone::Bad),
            facts: vec![("Host", "a&b".to_owned())],
            tables: vec![Table {
                heading: "Checks".to_owned(),
                columns: vec!["Check", "Result"],
                rows: vec![vec!["\"1\"".into(), Cell::toned("fail", Tone::Bad)]],
            }],
            notes: vec!["<b>".to_owned()],
        };
        let page = report.html();
        assert!(page.contains("<title>NIC &lt;script&gt;</title>"), "{page}");
        assert!(page.contains("<dt>Host</dt><dd>a&amp;b</dd>"), "{page}");
        assert!(
            page.contains("<td>&quot;1&quot;</td><td class=\"bad\">fail</td>"),
            "{page}"
        );
        assert!(page.contains("<li>&lt;b&gt;</li>"), "{page}");
    }
}
