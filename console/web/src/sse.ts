/** Server-sent events out of the pieces in which a response arrives. */

export interface StreamEvent {
  event: string;
  data: string;
}

const MOST_CHARACTERS = 1 << 20;

/**
 * Returns a function that takes a piece of text and returns the events that it completes.
 * It throws when an event is longer than a million characters.
 */
export function createEventParser(): (piece: string) => StreamEvent[] {
  let waiting = "";
  return (piece) => {
    // A line may end with CR LF, and a piece between the two.
    waiting = (waiting + piece).replace(/\r\n/g, "\n");
    const blocks = waiting.split("\n\n");
    waiting = blocks.pop() ?? "";
    if (waiting.length > MOST_CHARACTERS) throw new Error("The server sent an event that is too long.");
    return blocks.map(parseBlock).filter((each) => each.data !== "");
  };
}

function parseBlock(block: string): StreamEvent {
  let event = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event = value;
    if (field === "data") data.push(value);
  }
  return { event, data: data.join("\n") };
}
