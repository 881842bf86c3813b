"use strict";
const said = document.getElementById("said");
const overlay = document.getElementById("overlay");
for (const place of document.querySelectorAll(".here")) place.textContent = location.origin;

async function segment(photograph) {
  said.textContent = "Computing…";
  overlay.hidden = true;
  const answer = await fetch("/predict?format=overlay", { method: "POST", body: photograph });
  if (!answer.ok) throw new Error((await answer.json()).error);
  URL.revokeObjectURL(overlay.src);
  overlay.src = URL.createObjectURL(await answer.blob());
  overlay.alt = "The photograph with its mask";
  overlay.hidden = false;
  said.textContent = "";
}

document.getElementById("photograph").addEventListener("change", (event) => {
  const [photograph] = event.target.files;
  if (photograph) segment(photograph).catch((error) => { said.textContent = error.message; });
});
