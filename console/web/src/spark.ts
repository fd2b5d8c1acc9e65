/** The line of a spark line as an SVG path: one piece for each run of known values. */

export function drawSpark(values: (number | null)[], width: number, height: number): string {
  const known = values.filter((each): each is number => each !== null && Number.isFinite(each));
  if (known.length === 0) return "";
  const low = Math.min(...known);
  const span = Math.max(...known) - low;
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  let path = "";
  let pen = "M";
  values.forEach((value, index) => {
    if (value === null || !Number.isFinite(value)) {
      pen = "M";
      return;
    }
    // A flat line lies in the middle.
    const y = span === 0 ? height / 2 : height - ((value - low) / span) * height;
    path += `${pen}${round(index * step)} ${round(y)}`;
    pen = "L";
  });
  return path;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
