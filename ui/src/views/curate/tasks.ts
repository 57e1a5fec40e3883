/** What curation can look for, each with its job and the queues that it fills. */
export const TASKS = ["duplicates", "leakage", "outliers", "selection", "labels"] as const;
export type Task = (typeof TASKS)[number];

/** How queues begin; a label stands behind a colon. */
const QUEUES: Record<Task, string> = {
  duplicates: "duplicates",
  leakage: "leakage",
  outliers: "outliers",
  selection: "label-next",
  labels: "label-errors",
};

export const jobKind = (task: Task): string => `curate-${task}`;

/** The queue of a task; what is about a label has one of each label. */
export const queueOf = (task: Task, label = ""): string =>
  label ? `${QUEUES[task]}:${label}` : QUEUES[task];

/** The task of a queue by its name; nothing where it has another name. */
export function taskOf(queue: string): Task | undefined {
  const begin = queue.split(":", 1)[0] ?? "";
  return TASKS.find((task) => QUEUES[task] === begin);
}

/** The label that a queue is about. */
export const labelOf = (queue: string): string => queue.split(":").slice(1).join(":");

/** Flagged studies, which have a view of their own. */
export const ofQa = (queue: string): boolean => queue.startsWith("ood:");

export type Choices = Record<string, string | number | boolean>;

/** What a job is asked with unless somebody says otherwise. */
export function defaults(task: Task, label: string): Choices {
  if (task === "duplicates") return { threshold: "", pixels: true };
  if (task === "leakage") return { split: "split" };
  if (task === "outliers") return { count: 50, run: "" };
  if (task === "selection") return { label, budget: 20, strategy: "typiclust" };
  return { label, classifier: "linear" };
}

/** The parameters of a job as the service takes them: what was left empty it decides itself. */
export function parametersOf(task: Task, choices: Choices, filter: string): Choices {
  const said = Object.entries(choices).filter(([, value]) => value !== "");
  const numbers = new Set(["threshold", "count", "budget"]);
  const parameters = Object.fromEntries(
    said.map(([name, value]) => [name, numbers.has(name) ? Number(value) : value]),
  );
  const about = task === "selection" || task === "labels" ? String(choices.label ?? "") : "";
  return { ...parameters, ...(filter.trim() && { filter }), queue: queueOf(task, about) };
}
