//! One source file: its items, and the functions in it with their lines and tokens.

use std::collections::BTreeSet;
use std::str::FromStr;

use anyhow::{Context, anyhow};
use proc_macro2::{LineColumn, Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A parsed file.
pub(super) struct Source {
    pub(super) items: Vec<syn::Item>,
    /// Numbers of the lines that are neither blank nor comment alone, counted from 1.
    code: BTreeSet<usize>,
    /// Where each token on such a line begins.
    tokens: Vec<LineColumn>,
}

/// One function with a body, from its `fn` to its closing brace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) lines: usize,
    pub(super) tokens: usize,
}

impl Source {
    /// Parses a file's text.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let stream = TokenStream::from_str(text).map_err(|error| anyhow!("{error}"))?;
        let items = syn::parse2::<syn::File>(stream.clone())
            .context("syntax")?
            .items;
        let code: BTreeSet<usize> = (1..)
            .zip(text.lines().map(str::trim_start))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with("//"))
            .map(|(number, _)| number)
            .collect();
        let mut tokens = Vec::new();
        starts(stream, &mut tokens);
        tokens.retain(|at| code.contains(&at.line));
        Ok(Self {
            items,
            code,
            tokens,
        })
    }

    /// Functions that are not for tests only. A function inside another is part of it.
    pub(super) fn functions(&self) -> Vec<Function> {
        let mut finder = Finder(Vec::new());
        self.items
            .iter()
            .for_each(|item| finder.visit_item(item));
        finder
            .0
            .into_iter()
            .map(|span| self.measure(span))
            .collect()
    }

    fn measure(&self, span: Span) -> Function {
        let (start, end) = (span.start(), span.end());
        let inside = |at: &&LineColumn| (start..end).contains(*at);
        Function {
            lines: self.code.range(start.line..=end.line).count(),
            tokens: self.tokens.iter().filter(inside).count(),
        }
    }
}

fn starts(stream: TokenStream, tokens: &mut Vec<LineColumn>) {
    for tree in stream {
        tokens.push(tree.span().start());
        if let TokenTree::Group(group) = tree {
            starts(group.stream(), tokens);
        }
    }
}

/// Whether an item is compiled for tests only.
pub(super) fn for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| match &attribute.meta {
            syn::Meta::List(list) => {
                let condition = list.tokens.to_string();
                list.path.is_ident("cfg") && matches!(condition.as_str(), "test" | "doctest")
            }
            _ => attribute.path().is_ident("test"),
        })
}

struct Finder(Vec<Span>);

impl Finder {
    fn found(&mut self, attributes: &[syn::Attribute], signature: Span, body: Span) {
        if !for_tests(attributes) {
            self.0.extend(signature.join(body));
        }
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        if !for_tests(&block.attrs) {
            visit::visit_item_impl(self, block);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.found(&function.attrs, function.sig.span(), function.block.span());
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.found(&function.attrs, function.sig.span(), function.block.span());
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.found(&function.attrs, function.sig.span(), body.span());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions(text: &str) -> Vec<(usize, usize)> {
        let source = Source::parse(text).unwrap();
        let functions = source.functions().into_iter();
        functions
            .map(|found| (found.lines, found.tokens))
            .collect()
    }

    #[test]
    fn a_function_has_the_lines_and_tokens_of_its_signature_and_body() {
        // fn f ( x : u8 ) - > u8 { x + 1 }, where a bracket counts once.
        let text = "/// Doc.\npub fn f(x: u8) -> u8 {\n    // why\n\n    x + 1\n}\n";
        assert_eq!(functions(text), [(3, 13)]);
    }

    #[test]
    fn methods_count_and_nested_functions_belong_to_the_outer_one() {
        let text = "impl A { fn a() {\nfn inner() {}\n} }\ntrait B { fn b(); fn c() {} }";
        let lines: Vec<usize> = functions(text)
            .into_iter()
            .map(|(lines, _)| lines)
            .collect();
        assert_eq!(lines, [3, 1]);
    }

    #[test]
    fn code_for_tests_does_not_ship() {
        let text = "#[cfg(test)] mod tests { fn a() {} } #[test] fn b() {} #[cfg(unix)] fn c() {}";
        assert_eq!(functions(text).len(), 1);
    }
}
