/** The last hour: points of the server, 5 seconds apart, and what plots draw of them. */

import type { Point } from "./contract";

/** An hour of points that are 5 seconds apart. */
export const MOST_POINTS = 720;

export type Column = (number | null)[];

/** The points with one more; the oldest of more than MOST_POINTS goes. A point that is not newer than the last is left out. */
export function addPoint(points: Point[], point: Point): Point[] {
  const last = points.at(-1);
  if (last !== undefined && Date.parse(point.at) <= Date.parse(last.at)) return points;
  return [...points, point].slice(-MOST_POINTS);
}

/** The times of points in seconds since 1970. */
export function listTimes(points: Point[]): number[] {
  return points.map((each) => Date.parse(each.at) / 1000);
}

/** The numbers of the revisions that any of the points names, lowest first; of many the newest `most`. */
export function listRevisions(points: Point[], most: number): number[] {
  const numbers = new Set(points.flatMap((each) => Object.keys(each.revisions)));
  return [...numbers].map(Number).filter(Number.isInteger).sort((a, b) => a - b).slice(-most);
}

export interface VerdictSeries {
  requests: number[];
  difference: Column;
  low: Column;
  high: Column;
  tolerance: Column;
  zero: Column;
}

/**
 * How the interval of a metric narrowed, by requests of the canary and in percentage points.
 * Where the number of requests falls, another canary began: what is before is left out.
 * Of several points with the same number the last counts.
 */
export function traceVerdict(points: Point[], metric: string): VerdictSeries {
  const series: VerdictSeries = { requests: [], difference: [], low: [], high: [], tolerance: [], zero: [] };
  for (const point of points) {
    const row = point.analysis[metric];
    if (row === undefined || row.requests <= 0) continue;
    const last = series.requests.at(-1);
    if (last !== undefined && row.requests < last) clear(series, 0);
    else if (last !== undefined && row.requests === last) clear(series, series.requests.length - 1);
    series.requests.push(row.requests);
    series.difference.push(toPoints(row.difference));
    series.low.push(toPoints(row.low));
    series.high.push(toPoints(row.high));
    series.tolerance.push(toPoints(row.tolerance));
    series.zero.push(0);
  }
  return series;
}

function clear(series: VerdictSeries, length: number): void {
  for (const column of Object.values(series) as Column[]) column.length = length;
}

/** Of the requests so far, the part whose intervals are too wide to be drawn whole. */
const WIDE_SHARE = 0.15;

/**
 * The lowest and highest difference to draw, in percentage points: no less than twice the tolerance, and the intervals but for those
 * of the first requests, which are so wide that beside them nothing could be read.
 */
export function limitVerdict(series: VerdictSeries): [number, number] {
  const from = (series.requests.at(-1) ?? 0) * WIDE_SHARE;
  let most = 2 * Math.max(0, ...series.tolerance.map((each) => each ?? 0));
  series.requests.forEach((requests, index) => {
    if (requests < from) return;
    for (const column of [series.low, series.high]) most = Math.max(most, 1.05 * Math.abs(column[index] ?? 0));
  });
  return most > 0 ? [-most, most] : [-1, 1];
}

/** A share of 0 to 1 in percentage points: 0.05 is 5. */
function toPoints(share: number | null): number | null {
  return share === null ? null : share * 100;
}

/** The index of the time that is nearest to `at`, or null if there is none. */
export function findNearest(times: number[], at: number): number | null {
  let best: number | null = null;
  for (let i = 0; i < times.length; i++) {
    const distance = Math.abs((times[i] ?? 0) - at);
    if (best === null || distance < Math.abs((times[best] ?? 0) - at)) best = i;
  }
  return best;
}
