//! Rust text with code and comments told apart.
//!
//! Not a parser: it knows comments, strings, raw strings and character literals, and nothing else. That is
//! enough for a rule to see that a word in a string is not code.

/// A Rust file, line by line.
#[derive(Debug)]
pub(crate) struct Source {
    lines: Vec<Line>,
}

/// What one line holds.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// The code. The contents of string and character literals are left out, their quotes stay.
    pub(crate) code: String,
    /// The comments, with their slashes.
    pub(crate) comment: String,
}

impl Source {
    pub(crate) fn parse(text: &str) -> Self {
        let mut scanner = Scanner::new(text);
        while scanner.at < scanner.chars.len() {
            scanner.step();
        }
        if !scanner.line.code.is_empty() || !scanner.line.comment.is_empty() {
            scanner.end_line();
        }
        Self { lines: scanner.lines }
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The lines with their numbers, counted from 1.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Where `word` stands in `text` as a whole word.
pub(crate) fn word_positions<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[derive(Clone, Copy)]
enum State {
    Code,
    LineComment,
    BlockComment { depth: usize },
    Str,
    RawStr { hashes: usize },
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
    state: State,
    line: Line,
    lines: Vec<Line>,
}

impl Scanner {
    fn new(text: &str) -> Self {
        let chars = text.chars().collect();
        Self { chars, at: 0, state: State::Code, line: Line::default(), lines: Vec::new() }
    }

    fn step(&mut self) {
        if self.chars[self.at] == '\n' {
            self.at += 1;
            self.end_line();
            return;
        }
        match self.state {
            State::Code => self.code(),
            State::LineComment => self.comment(1),
            State::BlockComment { depth } => self.block_comment(depth),
            State::Str => self.string(),
            State::RawStr { hashes } => self.raw_string(hashes),
        }
    }

    fn end_line(&mut self) {
        self.lines.push(std::mem::take(&mut self.line));
        if matches!(self.state, State::LineComment) {
            self.state = State::Code;
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == Some(c))
    }

    fn comment(&mut self, length: usize) {
        self.line.comment.extend(&self.chars[self.at..self.at + length]);
        self.at += length;
    }

    fn push_code(&mut self, length: usize) {
        self.line.code.extend(&self.chars[self.at..self.at + length]);
        self.at += length;
    }

    fn code(&mut self) {
        if self.looking_at("//") {
            self.state = State::LineComment;
            self.comment(2);
        } else if self.looking_at("/*") {
            self.state = State::BlockComment { depth: 1 };
            self.comment(2);
        } else if self.looking_at("\"") {
            self.state = State::Str;
            self.push_code(1);
        } else if let Some(hashes) = self.raw_string_start() {
            self.state = State::RawStr { hashes };
            self.push_code(hashes + 2);
        } else if self.looking_at("'") {
            self.quote();
        } else {
            self.push_code(1);
        }
    }

    /// The number of hashes, if a raw string starts here and not in the middle of a word. The `b` or `c`
    /// of a raw byte or C string is the one letter that may stand before.
    fn raw_string_start(&self) -> Option<usize> {
        let before = |back: usize| self.at.checked_sub(back).map(|at| self.chars[at]);
        let prefixed = matches!(before(1), Some('b' | 'c')) && !before(2).is_some_and(is_word);
        if !self.looking_at("r") || (before(1).is_some_and(is_word) && !prefixed) {
            return None;
        }
        let hashes = self.chars[self.at + 1..].iter().take_while(|&&c| c == '#').count();
        (self.peek(hashes + 1) == Some('"')).then_some(hashes)
    }

    /// A character literal is emptied; the quote of a lifetime or label is only a quote.
    fn quote(&mut self) {
        let length = if self.peek(1) == Some('\\') {
            let end = self.chars[self.at..].iter().skip(3).position(|&c| c == '\'');
            end.map(|past| past + 4)
        } else {
            (self.peek(2) == Some('\'')).then_some(3)
        };
        match length {
            Some(length) => {
                self.line.code.push_str("''");
                self.at += length;
            }
            None => self.push_code(1),
        }
    }

    fn block_comment(&mut self, depth: usize) {
        if self.looking_at("/*") {
            self.state = State::BlockComment { depth: depth + 1 };
            self.comment(2);
        } else if self.looking_at("*/") {
            self.state =
                if depth == 1 { State::Code } else { State::BlockComment { depth: depth - 1 } };
            self.comment(2);
        } else {
            self.comment(1);
        }
    }

    fn string(&mut self) {
        match (self.chars[self.at], self.peek(1)) {
            ('"', _) => {
                self.state = State::Code;
                self.push_code(1);
            }
            // The end of a line counts as one even when it is escaped.
            ('\\', Some(next)) if next != '\n' => self.at += 2,
            _ => self.at += 1,
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        let ends = self.peek(0) == Some('"') && (1..=hashes).all(|n| self.peek(n) == Some('#'));
        if ends {
            self.state = State::Code;
            self.push_code(hashes + 1);
        } else {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        Source::parse(text).lines().iter().map(|line| line.code.clone()).collect()
    }

    #[test]
    fn comments_and_code_are_told_apart() {
        let source = Source::parse("let a = 1; // one\n/* two\nthree */ let b;\n");
        let comments: Vec<_> = source.lines().iter().map(|line| line.comment.as_str()).collect();
        assert_eq!(comments, ["// one", "/* two", "three */"]);
        assert_eq!(
            code("let a = 1; // one\n/* two\nthree */ let b;\n"),
            ["let a = 1; ", "", " let b;"]
        );
    }

    #[test]
    fn block_comments_nest() {
        assert_eq!(code("/* a /* b */ c */d"), ["d"]);
    }

    #[test]
    fn literals_are_emptied() {
        assert_eq!(code(r#"f("// no", "\"", b"x");"#), [r#"f("", "", b"");"#]);
        assert_eq!(code("r\"a\\\" + r#\"b\"c\"# + br#\"d\"#;"), ["r\"\" + r#\"\"# + br#\"\"#;"]);
        assert_eq!(code(r"['\'', '\\', '\u{1F}', 'x', '/', '/']"), ["['', '', '', '', '', '']"]);
    }

    #[test]
    fn lifetimes_are_not_literals() {
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), ["fn f<'a>(x: &'a str) {}"]);
    }

    #[test]
    fn raw_identifiers_are_not_raw_strings() {
        assert_eq!(code("let r#type = bar\"x\";"), ["let r#type = bar\"\";"]);
    }

    #[test]
    fn strings_over_several_lines_keep_their_lines() {
        assert_eq!(code("a(\"x\\\n  unsafe\n\");\nb"), ["a(\"", "", "\");", "b"]);
    }

    #[test]
    fn a_word_is_not_part_of_another() {
        assert_eq!(
            word_positions("unsafe_code unsafe munsafe", "unsafe").collect::<Vec<_>>(),
            [12]
        );
    }
}
