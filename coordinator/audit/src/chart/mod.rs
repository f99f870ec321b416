//! Line charts as inline SVG: labelled axes, and lines told apart by dashes and marks, so that a
//! page reads without colour.
//!
//! A [`Chart`] says what to show; [`Chart::svg`] chooses axes, ticks and the places of labels.
//! Reading order: this file, `drawing`, `axis`.

mod axis;
mod drawing;

use askama::Template as _;

use drawing::Drawing;

/// What one chart shows. Values that are not finite are left out.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Caption under the chart.
    pub title: String,
    /// Name and scale of the horizontal axis.
    pub x_label: &'static str,
    /// Name of the vertical axis, which always shows 0.
    pub y_label: &'static str,
    /// How the horizontal axis is laid out and marked.
    pub x_axis: XAxis,
    /// Lines in the order they are drawn: the last is on top.
    pub lines: Vec<Line>,
    /// A horizontal line with a name, for what values must stay below.
    pub limit: Option<(&'static str, f64)>,
}

/// How a horizontal axis is laid out and marked.
#[derive(Clone, Debug)]
pub enum XAxis {
    /// From 0, marked at a few whole numbers.
    Counts,
    /// Logarithmic, marked at powers of ten.
    Powers,
    /// Marked at the points themselves.
    Points {
        /// Whether steps multiply, as those of budgets and populations do.
        logarithmic: bool,
    },
    /// Marked by one name for each point, in order.
    Names(Vec<String>),
}

/// One line of a chart.
#[derive(Clone, Debug)]
pub struct Line {
    /// Text at the line's right end; none where the caption says it.
    pub label: Option<&'static str>,
    /// Class of the style sheet.
    pub class: &'static str,
    /// How points are joined.
    pub join: Join,
    /// Points from left to right.
    pub points: Vec<Point>,
}

/// How the points of a line are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Straight from each to the next.
    Straight,
    /// From 0 at the left end, level until each point and then up to it: a total so far.
    Stairs,
}

/// One point of a line.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Place along the horizontal axis.
    pub x: f64,
    /// Height.
    pub y: f64,
    /// Standard deviation, shown by whiskers; 0 shows none.
    pub std: f64,
    /// What is drawn at the point.
    pub mark: Mark,
}

/// What is drawn at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Nothing: the line passes.
    None,
    /// A full circle.
    Full,
    /// A hollow circle, for what is different in kind: nothing released, or a projection.
    Hollow,
}

impl Chart {
    /// Draws the chart as a `figure` element, to be styled by [`crate::PAGE_STYLE`].
    pub fn svg(&self) -> String {
        Drawing::of(self)
            .render()
            .expect("texts and numbers are written to memory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(x_axis: XAxis, lines: Vec<Line>) -> Chart {
        Chart {
            title: "t".into(),
            x_label: "x",
            y_label: "y",
            x_axis,
            lines,
            limit: None,
        }
    }

    fn line(join: Join, points: &[(f64, f64)]) -> Line {
        let point = |&(x, y)| Point {
            x,
            y,
            std: 0.1,
            mark: Mark::Hollow,
        };
        Line {
            label: Some("a"),
            class: "a",
            join,
            points: points.iter().map(point).collect(),
        }
    }

    #[test]
    fn every_axis_draws_nothing_one_point_and_what_is_not_finite() {
        let points: [&[(f64, f64)]; 4] = [
            &[],
            &[(3.0, -0.5)],
            &[(2.0, 0.0)],
            &[(1.0, f64::INFINITY), (f64::NAN, 1.0), (2.0, 1.0)],
        ];
        let axes = [
            XAxis::Counts,
            XAxis::Powers,
            XAxis::Points { logarithmic: true },
            XAxis::Points { logarithmic: false },
            XAxis::Names(vec!["only".into()]),
        ];
        for (axis, points) in axes
            .iter()
            .flat_map(|axis| points.map(|points| (axis, points)))
        {
            for join in [Join::Straight, Join::Stairs] {
                let none = chart(axis.clone(), vec![]).svg();
                let svg = chart(axis.clone(), vec![line(join, points)]).svg();
                for svg in [none, svg] {
                    assert!(svg.contains("<svg") && svg.contains(r#"class="axis""#));
                    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                }
            }
        }
    }

    #[test]
    fn a_limit_is_inside_the_chart_and_named() {
        let mut limited = chart(
            XAxis::Counts,
            vec![line(Join::Stairs, &[(1.0, 2.0), (2.0, 3.0)])],
        );
        assert!(!limited.svg().contains("limit"));
        limited.limit = Some(("budget", 8.0));
        let svg = limited.svg();
        assert!(
            svg.contains(">budget</text>") && svg.contains(">8</text>"),
            "{svg}"
        );
        limited.limit = Some(("budget", f64::INFINITY));
        assert!(!limited.svg().contains("limit"));
    }

    #[test]
    fn texts_cannot_leave_their_place() {
        let mut chart = chart(XAxis::Names(vec!["<b>".into()]), vec![]);
        chart.title = r#""><script>"#.into();
        chart.lines = vec![line(Join::Straight, &[(0.0, 1.0)])];
        let svg = chart.svg();
        assert!(!svg.contains("<script") && !svg.contains("<b>"), "{svg}");
    }
}
