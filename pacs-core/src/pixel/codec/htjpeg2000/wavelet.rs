//! The reversible 5/3 transform, forward (ISO/IEC 15444-1 §F.4.8.1).
//!
//! Rows stay where they are, so that those of low frequency are every second one; along a row, low frequencies come to lie to the
//! left.

/// Transforms rows of one length once, both ways. One sweep: each row is split as soon as its neighbours are done with it.
pub(super) fn forward(rows: &mut [&mut [i32]], scratch: &mut Vec<i32>) {
    for k in (1..rows.len()).step_by(2) {
        let [before, odd, after @ ..] = &mut rows[k - 1..] else { break };
        let after: &[i32] = after.first().map_or(&**before, |row| &**row);
        for ((odd, before), after) in odd.iter_mut().zip(&**before).zip(after) {
            *odd -= (before + after) >> 1;
        }
        // The row before has both its neighbours now.
        low_row(rows, k - 1);
        across(rows[k - 1], scratch);
        if k > 2 {
            across(rows[k - 2], scratch);
        }
    }
    let last = rows.len() - 1;
    if last.is_multiple_of(2) {
        low_row(rows, last);
        across(rows[last], scratch);
        if last > 0 {
            across(rows[last - 1], scratch);
        }
    } else {
        across(rows[last], scratch);
    }
}

/// A row with those above and below it, mirrored at the ends; `None` where it has none.
pub(super) fn with_neighbours<'a, T>(rows: &'a mut [&mut [T]], at: usize) -> Option<(&'a mut [T], [&'a [T]; 2])> {
    let (before, rest) = rows.split_at_mut(at);
    let (row, after) = rest.split_first_mut()?;
    let neighbours = match (before.last(), after.first()) {
        (Some(before), Some(after)) => [&**before, &**after],
        (Some(only), None) | (None, Some(only)) => [&**only, &**only],
        (None, None) => return None,
    };
    Some((row, neighbours))
}

/// What a row of low frequency keeps: the part of it that its neighbours have not.
fn low_row(rows: &mut [&mut [i32]], at: usize) {
    let Some((row, [above, below])) = with_neighbours(rows, at) else { return };
    for ((low, above), below) in row.iter_mut().zip(above).zip(below) {
        *low += (above + below + 2) >> 2;
    }
}

/// One row into its low and its high half.
fn across(row: &mut [i32], scratch: &mut Vec<i32>) {
    scratch.clear();
    scratch.extend_from_slice(row);
    let line = scratch.as_slice();
    let (low, high) = row.split_at_mut(line.len().div_ceil(2));
    let (pairs, rest) = line.as_chunks::<2>();
    let Some((&[last, _], before_last)) = pairs.split_last() else { return };
    for ((high, &[even, odd]), &[next, _]) in high.iter_mut().zip(before_last).zip(&pairs[1..]) {
        *high = odd - ((even + next) >> 1);
    }
    // Behind the end, the line is mirrored at its last sample.
    let next = rest.first().copied().unwrap_or(last);
    if let (Some(high), Some(&[even, odd])) = (high.last_mut(), pairs.last()) {
        *high = odd - ((even + next) >> 1);
    }
    low[0] = line[0] + ((2 * high[0] + 2) >> 2);
    for ((low, &[even, _]), (before, after)) in low[1..].iter_mut().zip(&pairs[1..]).zip(high.iter().zip(&high[1..])) {
        *low = even + ((before + after + 2) >> 2);
    }
    if let ([even], Some(low), Some(high)) = (rest, low.last_mut(), high.last()) {
        *low = even + ((2 * high + 2) >> 2);
    }
}
