"""The loop inside `fit`, written out: the weights end up the same, bit for bit."""

import minisgd as keras
from minisgd.random import epoch_order

EPOCHS, BATCH_SIZE = 3, 32

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train = x_train.reshape(-1, 784).astype("float32") / 255
x_test = x_test.reshape(-1, 784).astype("float32") / 255
y_train = keras.utils.to_categorical(y_train, 10)
y_test = keras.utils.to_categorical(y_test, 10)

# Initial weights and order of the images follow from the seed.
keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.layers.Dense(128, activation="relu", input_shape=(784,)),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
loss_function = keras.losses.CategoricalCrossentropy()
optimizer = keras.optimizers.SGD(learning_rate=0.01, momentum=0.9)

for epoch in range(EPOCHS):
    order = epoch_order(len(x_train))
    total = 0.0
    for start in range(0, len(order), BATCH_SIZE):
        batch = order[start : start + BATCH_SIZE]
        x, y = x_train[batch], y_train[batch]

        with keras.GradientTape() as tape:
            y_pred = model(x, training=True)
            loss = loss_function(y, y_pred)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

        total += float(loss) * len(batch)
    print(f"epoch {epoch + 1}/{EPOCHS} - loss: {total / len(order):.4f}")

y_pred = model.predict(x_test, verbose=0)
accuracy = (y_pred.argmax(axis=1) == y_test.argmax(axis=1)).mean()
print(f"test accuracy {accuracy:.4f}")
