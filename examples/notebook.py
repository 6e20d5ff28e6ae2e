# %% [markdown]
# # Notebook: from a barrier to an adapter and back
#
# Asks a small model for facts in several languages, draws what it loses from one language to another, teaches it new
# facts by an adapter, and looks at what crossed into other languages and what the adapter changed. No hub, no GPU:
# about twenty minutes on two CPU cores, most of them for the adapter.
#
# The source is `examples/notebook.py` in the repository. Jupyter with the package `jupytext` opens it as a notebook,
# and `jupytext --to notebook notebook.py` writes an `.ipynb`. Install `lm-eval-xling[demo]`, `jupyterlab`, `jupytext`.

# %%
import matplotlib.pyplot as plt

import lm_eval_xling as xling

MODEL = "gemma-3-270m"
TASKS = "crosslingual_atlas"
LIMIT = 100
PEOPLE = 20

# %% [markdown]
# ## Evaluate
#
# `gemma-3-270m` is embedded: it comes with `[demo]`. A folder or a name on the hub does as well. The tasks ask the same
# facts of countries in each pair of question language and answer language, such as `xling_atlas_en_fr`.

# %%
before = xling.evaluate(TASKS, model_args={"pretrained": MODEL}, limit=LIMIT, batch_size=16)
before

# %% [markdown]
# ## The table behind it
#
# One row an item of a task. The languages of question and answer are columns.

# %%
table = xling.samples(before)
table.groupby(["question_language", "answer_language"])["score"].mean().unstack().round(2)

# %% [markdown]
# ## The barrier
#
# English question and English answer against one of the two in French. The difference is taken item by item, so that
# its interval is of the barrier and not of the items' difficulty.

# %%
conditions = ["en_fr", "fr_en"]
barriers = {condition: xling.barrier(table, "en_en", condition) for condition in conditions}
barriers["en_fr"]


# %%
def draw(barriers, title):
    """Draw barriers with their 95 % intervals, one bar a condition."""
    figure, axes = plt.subplots(figsize=(6, 0.6 + 0.5 * len(barriers)), layout="constrained")
    for row, found in enumerate(barriers.values()):
        low, high = found.difference.low, found.difference.high
        axes.barh(row, found.difference.estimate, color="#0072B2")
        axes.plot([low, high], [row, row], color="black")
    axes.set_yticks(range(len(barriers)), list(barriers))
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(xlabel="barrier (share of items)", title=title)
    return figure


draw(barriers, f"What {MODEL} loses against English").savefig("barrier.png", dpi=150)

# %% [markdown]
# A bar whose interval (black) touches 0 shows no barrier that these items can tell from none. How large one must be for
# so many items to show it is `barriers["en_fr"].paired.detectable`.
#
# ## An adapter
#
# The recipe teaches facts of invented people, in English alone, so that their barrier has a known beginning. A run that
# is stopped goes on with the same call. Then the facts are asked for, in English and with one part or both in French.

# %%
adapter = xling.train("facts", "facts_lora.yaml", {"model": MODEL, "output": "taught", "data.ledger.people": PEOPLE})
asked = ["en_en", "en_fr", "fr_en", "fr_fr"]
learned = xling.evaluate(
    [f"xling_ledger_taught_{pair}" for pair in asked],
    model_args={"pretrained": MODEL, "peft": adapter},
    metadata={"xling": {"people": PEOPLE}},
    batch_size=16,
)
facts = xling.samples(learned)
taught = {pair: xling.barrier(facts, "taught_en_en", f"taught_{pair}") for pair in asked[1:]}
draw(taught, "What the taught facts lose against English").savefig("taught.png", dpi=150)

# %% [markdown]
# ## And back
#
# Did the adapter change what the model knew before? The first tasks again, with the adapter: two models are two
# conditions that name them. A difference above 0 says that the adapter cost something.

# %%
after = xling.evaluate(TASKS, model_args={"pretrained": MODEL, "peft": adapter}, limit=LIMIT, batch_size=16)
both = xling.samples([before, after])
base, adapted = sorted(both["model"].unique(), key=len)
changes = {
    condition: xling.barrier(both, {"model": base, "condition": condition}, {"model": adapted, "condition": condition})
    for condition in ["en_en", *conditions]
}
draw(changes, "What the adapter cost").savefig("changes.png", dpi=150)

# %% [markdown]
# ## A page of all of it
#
# `report/report.html` needs no network: every pair of languages with its own test, heat maps, and each item in every
# language with what the model chose.

# %%
page = xling.write_report([before, after], "report")
page
