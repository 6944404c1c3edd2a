// Shows the list again when somebody has changed a note. The page works without it.
const shown = () => document.querySelector("#notes");

async function refresh() {
  const answer = await fetch(location.href, {headers: {"X-Refresh": "1"}});
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  shown().replaceWith(page.querySelector("#notes"));
}

if (shown()) {
  const events = new EventSource(document.body.dataset.events);
  events.onopen = events.onmessage = refresh;
}
