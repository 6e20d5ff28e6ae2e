// Every word of the filter has to stand in a cell of the row.
(() => {
  const body = document.getElementById("numbers").tBodies[0];
  document.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of body.rows) {
      const cells = [...row.cells].map((cell) => cell.textContent.toLowerCase());
      // A number must be a whole cell: 1 is layer 1, not 0.1.
      row.hidden = !words.every((word) => cells.some((cell) => (isNaN(word) ? cell.includes(word) : cell === word)));
    }
  });
})();
