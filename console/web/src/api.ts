/** The requests to the console's server. */

import type { ChatEnd, Deployment, Fleet, GoldenQuestions, History, Point, Preview, WhatIf, WhatIfChoice } from "./contract";
import { createEventParser } from "./sse";

/** An answer of the server that is an error; the message is for people. */
export class ServerError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const RETRY_MILLISECONDS = 5000;
const SESSION_ENDED = "This session has ended. Reload the page; on your own machine, run `kubectl llm console` again.";

function locate(namespace: string, name: string): string {
  return `api/llmdeployments/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
}

async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { cache: "no-store", ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ServerError(0, "The console's server does not answer. Reload the page, or run `kubectl llm console` again.");
  }
  if (!response.ok) throw new ServerError(response.status, await readError(response));
  return response;
}

async function readError(response: Response): Promise<string> {
  try {
    const { error } = (await response.json()) as { error?: { message?: unknown } };
    if (typeof error?.message === "string") return error.message;
  } catch {
    // Not JSON: the status says what there is to say.
  }
  if (response.status === 401) return SESSION_ENDED;
  return `The console's server answered ${response.status}.`;
}

function post(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const headers = { "content-type": "application/json", "x-llm-console": "1" };
  const init: RequestInit = { method: "POST", headers, body: JSON.stringify(body) };
  return request(path, signal === undefined ? init : { ...init, signal });
}

export async function fetchFleet(): Promise<Fleet> {
  return (await request("api/fleet")).json() as Promise<Fleet>;
}

/** The text of a runbook, in Markdown. */
export async function fetchRunbook(name: string): Promise<string> {
  try {
    return await (await request(`runbooks/${encodeURIComponent(name)}.md`)).text();
  } catch (error) {
    if (error instanceof ServerError && error.status === 404) throw new ServerError(404, `There is no runbook for ${name}.`);
    throw error;
  }
}

export async function fetchDeployment(namespace: string, name: string): Promise<Deployment> {
  return (await request(locate(namespace, name))).json() as Promise<Deployment>;
}

/** Points of the last hours, from Prometheus. */
export async function fetchPast(namespace: string, name: string, hours: number): Promise<Point[]> {
  const response = await request(`${locate(namespace, name)}/past?hours=${hours}`);
  return ((await response.json()) as History).points;
}

/** What an action acts on: the arm is named only where there are several. */
export interface Order {
  action: string;
  arm?: string;
}

export async function previewAction(namespace: string, name: string, order: Order): Promise<Preview> {
  const response = await post(`${locate(namespace, name)}/actions`, { ...order, preview: true });
  return response.json() as Promise<Preview>;
}

export async function applyAction(namespace: string, name: string, order: Order): Promise<void> {
  await post(`${locate(namespace, name)}/actions`, { ...order, preview: false });
}

/** Simulate the last hour as the spec is, and with a choice. */
export async function simulate(namespace: string, name: string, choice: WhatIfChoice | null): Promise<WhatIf> {
  const response = await post(`${locate(namespace, name)}/what-if`, choice === null ? {} : { choice });
  return response.json() as Promise<WhatIf>;
}

export interface LiveListener {
  onHistory: (history: History) => void;
  onPoint: (point: Point) => void;
  onDeployment: (deployment: Deployment) => void;
  /** Called with false when the stream breaks or is refused, and with true when it is back. It is asked for again by itself. */
  onConnection: (connected: boolean) => void;
}

/** Follow one LLMDeployment, and return the function that ends it. */
export function followDeployment(namespace: string, name: string, listener: LiveListener): () => void {
  let source: EventSource;
  let timer = 0;
  const connect = (): void => {
    source = new EventSource(`${locate(namespace, name)}/live`);
    const on = (event: string, handle: (data: never) => void): void => {
      source.addEventListener(event, (message) => handle(JSON.parse((message as MessageEvent<string>).data) as never));
    };
    on("history", listener.onHistory);
    on("point", listener.onPoint);
    on("deployment", listener.onDeployment);
    source.onopen = () => listener.onConnection(true);
    source.onerror = () => {
      listener.onConnection(false);
      // The browser connects again to a stream that broke, and gives up on one that was refused.
      if (source.readyState === EventSource.CLOSED) timer = window.setTimeout(connect, RETRY_MILLISECONDS);
    };
  };
  connect();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}

export interface ChatRequest {
  revision: number;
  prompt: string;
  maxTokens: number;
}

/** Ask one revision, hand over each piece of its answer, and return the figures of its end. */
export async function streamChat(
  namespace: string,
  name: string,
  chat: ChatRequest,
  onText: (text: string) => void,
  signal: AbortSignal,
): Promise<ChatEnd> {
  const messages = [{ role: "user", content: chat.prompt }];
  const body = { revision: chat.revision, messages, maxTokens: chat.maxTokens };
  return readAnswer(await post(`${locate(namespace, name)}/chat`, body, signal), onText);
}

/** What the questions of the golden set ask that the page shows. */
export async function fetchGolden(namespace: string, name: string): Promise<GoldenQuestions> {
  return (await request(`${locate(namespace, name)}/golden`)).json() as Promise<GoldenQuestions>;
}

/** Ask one revision a question of the golden set, as `streamChat`. */
export async function streamGolden(
  namespace: string,
  name: string,
  question: { revision: number; number: number },
  onText: (text: string) => void,
  signal: AbortSignal,
): Promise<ChatEnd> {
  return readAnswer(await post(`${locate(namespace, name)}/golden`, question, signal), onText);
}

async function readAnswer(response: Response, onText: (text: string) => void): Promise<ChatEnd> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  const parse = createEventParser();
  for (;;) {
    const piece = await reader?.read();
    if (piece === undefined || piece.done) throw new ServerError(0, "The answer ended before it was complete.");
    for (const { event, data } of parse(piece.value)) {
      const value = JSON.parse(data) as { text?: string; message?: string };
      if (event === "text") onText(value.text ?? "");
      if (event === "error") throw new ServerError(0, value.message ?? "The revision failed.");
      if (event === "end") return value as unknown as ChatEnd;
    }
  }
}
