// The states of the view of curation that are worth a picture.

/** @param {string} url */
export async function pictured(url) {
  const ask = async (path) => (await fetch(`${url}/v1/${path}`)).json();
  const first = async (queue, at = 0) => {
    const { rows } = await ask(`reviews?queue=${encodeURIComponent(queue)}&state=open&limit=20`);
    return rows?.[at]?.subject;
  };
  const views = { curate: "#/curate" };
  const queues = (await ask("reviews/queues")).map((each) => each.queue);
  const names = {
    duplicates: "curate-pair",
    leakage: "curate-leak",
    outliers: "curate-outlier",
    "label-next": "curate-label",
    "label-errors": "curate-suspect",
  };
  for (const queue of queues) {
    const name = names[queue.split(":")[0]];
    const subject = name && (await first(queue, 2));
    if (!subject) continue;
    const query = new URLSearchParams({ queue, at: subject });
    views[name] = `#/curate?${query}`;
    if (name === "curate-pair") {
      views["curate-difference"] = `#/curate?${query}&look=difference`;
      views["curate-list"] = `#/curate?queue=${queue}&list=all`;
    }
  }
  return views;
}
